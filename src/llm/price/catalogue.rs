use super::{Price, vendor};
use crate::base::FastMap;

/// One row of a price list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceRow {
    /// Who is paid: a name of [`vendor::VENDORS`].
    pub vendor: &'static str,
    /// The model's name, or the beginning of it and a `*`.
    pub model: String,
    /// What it costs.
    pub price: Price,
    /// Where the row stands and what it is taken from, for people.
    pub origin: String,
}

/// The prices that are known. A model has the price of the row with exactly its name, else of the row with the
/// longest beginning (`claude-3-5-haiku-*`) that fits; where none does, of the row for its name without what
/// stands in front of it, as its vendor has it (`us.` at Bedrock, `models/` at Gemini).
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    vendors: FastMap<&'static str, Models>,
    listed: Vec<Listed>,
}

/// A price and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What the model costs.
    pub price: Price,
    /// As [`PriceRow::origin`].
    pub origin: String,
}

/// A price of one catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceId(u32);

#[derive(Clone, Debug, Default)]
struct Models {
    exact: FastMap<Box<str>, PriceId>,
    /// Beginnings without their `*`, longest first.
    beginnings: Vec<(Box<str>, PriceId)>,
}

impl Catalogue {
    /// A catalogue of these rows, fewer than 2^32; a later row replaces an earlier one for the same vendor and model, so
    /// that a user's rows can follow built-in ones.
    pub fn new(rows: impl IntoIterator<Item = PriceRow>) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (place, row) in (0u32..).zip(rows) {
            let PriceRow { vendor, model, price, origin } = row;
            let id = PriceId(place);
            catalogue.listed.push(Listed { price, origin });
            let models = catalogue.vendors.entry(vendor).or_default();
            match model.strip_suffix('*') {
                None => {
                    models.exact.insert(model.into(), id);
                }
                Some(beginning) => {
                    models.beginnings.retain(|(known, _)| **known != *beginning);
                    models.beginnings.push((beginning.into(), id));
                }
            }
        }
        for models in catalogue.vendors.values_mut() {
            models.beginnings.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        }
        catalogue
    }

    /// Whether it lists nothing.
    pub fn is_empty(&self) -> bool {
        self.vendors.is_empty()
    }

    /// How many names of models and beginnings of names have a price at this vendor.
    pub fn names(&self, vendor: &str) -> usize {
        self.vendors.get(vendor).map_or(0, |models| models.exact.len() + models.beginnings.len())
    }

    /// All names of models, and beginnings with their `*`, by vendor; in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, String, &Listed)> {
        let of_vendor = |(vendor, models): (&&'static str, &'_ Models)| {
            let exact = models.exact.iter().map(|(name, id)| (name.to_string(), *id));
            let beginnings = models.beginnings.iter().map(|(name, id)| (format!("{name}*"), *id));
            let vendor = *vendor;
            exact.chain(beginnings).map(move |(name, id)| (vendor, name, id)).collect::<Vec<_>>()
        };
        let names = self.vendors.iter().flat_map(of_vendor);
        names.filter_map(|(vendor, name, id)| Some((vendor, name, self.get(id)?)))
    }

    /// The price of a model; `None` when no row fits, and the caller's policy decides. Allocates nothing.
    pub fn find(&self, vendor: &str, model: &str) -> Option<PriceId> {
        let models = self.vendors.get(vendor)?;
        let names = std::iter::successors(Some(model), |name| vendor::shorter(vendor, name));
        names.into_iter().find_map(|name| models.find(name))
    }

    /// What [`find`](Catalogue::find) found in this catalogue.
    pub fn get(&self, id: PriceId) -> Option<&Listed> {
        self.listed.get(id.0 as usize)
    }
}

impl Models {
    fn find(&self, model: &str) -> Option<PriceId> {
        let beginning = || self.beginnings.iter().find(|(beginning, _)| model.starts_with(&**beginning));
        self.exact.get(model).or_else(|| beginning().map(|(_, id)| id)).copied()
    }
}
