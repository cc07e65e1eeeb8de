use crate::config::diagnostic::{Extent, Located, Place, nearest, quoted};
use crate::config::reader::Cursor;
use crate::config::values;
use std::fmt;

/// Who a resource is: the part of Kubernetes' ObjectMeta that means something here.
pub(crate) struct Meta {
    pub(crate) name: Located<String>,
    pub(crate) namespace: String,
    /// `creationTimestamp`, which breaks ties between routes.
    pub(crate) created: Option<String>,
    /// Of what was observed, so that conditions can say so.
    pub(crate) generation: Option<u64>,
    /// `tollgate.dev/unit`.
    pub(crate) unit: Option<Located<String>>,
    /// `tollgate.dev/translation`.
    pub(crate) translation: Option<Located<String>>,
    /// `tollgate.dev/priority`.
    pub(crate) priority: Option<Located<String>>,
    /// Labels, which selectors look at.
    pub(crate) labels: Vec<(String, String)>,
    /// Of the whole resource.
    pub(crate) extent: Extent,
}

/// Generations are of 64 bits with a sign (Kubernetes, ObjectMeta).
const GENERATION_MAX: u64 = i64::MAX as u64;
/// Annotations that tollgate reads; all others belong to others.
const PREFIX: &str = "tollgate.dev/";
const UNIT: &str = "tollgate.dev/unit";
const TRANSLATION: &str = "tollgate.dev/translation";
const PRIORITY: &str = "tollgate.dev/priority";

impl Meta {
    /// Reads the metadata of the resource that has this extent.
    pub(crate) fn read(cursor: &Cursor<'_>, extent: Extent) -> Option<Meta> {
        cursor.fields(|fields| {
            let name = fields.need("name").and_then(|field| field.parsed(name));
            let namespace = fields.get("namespace").map(|field| field.parsed(self::name));
            let created = fields.get("creationTimestamp").and_then(|field| field.parsed(instant));
            let generation = fields.get("generation").and_then(|field| field.integer(0..=GENERATION_MAX));
            let labels = fields.get("labels").map(|field| texts(&field)).unwrap_or_default();
            let [unit, translation, priority] =
                fields.get("annotations").map(|field| annotations(&field)).unwrap_or_default();
            fields.pass_over(&[
                "uid",
                "resourceVersion",
                "generateName",
                "managedFields",
                "selfLink",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "ownerReferences",
                "finalizers",
            ]);
            let namespace = match namespace {
                Some(namespace) => namespace?.value,
                None => "default".into(),
            };
            let created = created.map(|created| created.value);
            let generation = generation.map(|generation| generation.value);
            let name = name?;
            Some(Meta { name, namespace, created, generation, unit, translation, priority, labels, extent })
        })
    }
}

/// `namespace/name`
impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name.value)
    }
}

/// A reference to another resource by name, in `namespace` or else in the resource's own.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) name: Located<String>,
    pub(crate) namespace: Option<String>,
}

impl Reference {
    pub(crate) fn at(&self) -> Place {
        self.name.at
    }
}

/// A name of Kubernetes, for [`Cursor::parsed`].
pub(super) fn name(text: &str) -> Result<String, String> {
    match values::is_name(text) {
        true => Ok(text.into()),
        false => Err(format!(
            "is {}, which is not a name of Kubernetes: lower-case letters, digits, \"-\" and \".\"",
            quoted(text)
        )),
    }
}

fn instant(text: &str) -> Result<String, String> {
    match values::is_instant(text) {
        true => Ok(text.into()),
        false => Err("must be an instant such as 2025-09-01T10:00:00Z".into()),
    }
}

/// Names and values; every value must be a text, as Kubernetes demands.
fn texts(cursor: &Cursor<'_>) -> Vec<(String, String)> {
    let entry = |(key, value): (Located<String>, Cursor<'_>)| Some((key.value, value.text()?.value));
    cursor.entries().into_iter().filter_map(entry).collect()
}

/// Unit, translation and priority, if given; an annotation of ours that we do not know is a fault.
fn annotations(cursor: &Cursor<'_>) -> [Option<Located<String>>; 3] {
    const OURS: [&str; 3] = [UNIT, TRANSLATION, PRIORITY];
    let mut found = [None, None, None];
    for (key, value) in cursor.entries() {
        let text = value.text();
        match OURS.iter().position(|ours| *ours == key.value) {
            Some(place) => found[place] = text,
            None if key.value.starts_with(PREFIX) => {
                let help = match nearest(&key.value, OURS) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => format!("known are: {}", OURS.join(", ")),
                };
                let message = format!("unknown annotation {}", quoted(&key.value));
                cursor.faults().fault_with_help(key.at, message, help);
            }
            None => {}
        }
    }
    found
}
