use crate::config::diagnostic::{Located, Place, quoted};
use crate::config::reader::{Cursor, Fields};
use crate::config::settings::UnknownModel;
use crate::llm::price::vendor::VENDORS;
use crate::llm::price::{Price, Rates, Tier};

/// A Prices resource of tollgate.dev: what tokens cost.
pub(crate) struct PriceList {
    /// The program's own prices do not apply.
    pub(crate) replace: bool,
    pub(crate) rows: Vec<Row>,
}

/// One or several models of one price.
pub(crate) struct Row {
    /// A name of [`VENDORS`].
    pub(crate) vendor: &'static str,
    /// Names of models, or beginnings of names with a `*`; at least one.
    pub(crate) models: Vec<Located<String>>,
    pub(crate) price: Price,
    /// The day on which the price was looked up.
    pub(crate) as_of: Option<String>,
    /// Where.
    pub(crate) source: Option<String>,
}

/// The most rows of one list.
const ROWS_MAX: usize = 10_000;
/// The most models of one row.
const MODELS_MAX: usize = 64;
/// The most tiers of one price.
const TIERS_MAX: usize = 8;

/// What a list says of all its rows that do not say it themselves.
struct Common {
    vendor: Option<&'static str>,
    as_of: Option<String>,
    source: Option<String>,
}

pub(crate) fn read(spec: &Cursor<'_>) -> Option<PriceList> {
    spec.fields(|fields| {
        fields.need("currency").inspect(|field| {
            field.one_of(&[("USD", ())]);
        });
        fields.need("perTokens").inspect(|field| {
            field.integer(1_000_000..=1_000_000);
        });
        let replace = fields.get("replace").and_then(|field| field.boolean()).unwrap_or(false);
        let common = Common {
            vendor: fields.get("provider").and_then(|field| vendor(&field)),
            as_of: fields.get("asOf").and_then(|field| date(&field)),
            source: fields.get("source").and_then(|field| field.word()).map(|source| source.value),
        };
        let gives_vendor = fields.has("provider");
        let field = fields.need("prices")?;
        let rows = field.list(ROWS_MAX, |item| item.fields(|fields| row(fields, &common, gives_vendor)));
        refuse_twins(&field, &rows);
        Some(PriceList { replace, rows })
    })
}

/// Two prices for the same models of a list, of which one would replace the other.
fn refuse_twins(list: &Cursor<'_>, rows: &[Row]) {
    let mut seen = std::collections::HashMap::new();
    let named = rows.iter().flat_map(|row| row.models.iter().map(move |model| (row.vendor, model)));
    for (vendor, model) in named {
        if let Some(first) = seen.insert((vendor, model.value.as_str()), model.at) {
            let message = format!("{} has two prices", quoted(&model.value));
            let help = format!("the other is at {}; keep one", list.faults().name(first));
            list.faults().fault_with_help(model.at, message, help);
        }
    }
}

fn row(fields: &mut Fields<'_>, common: &Common, gives_vendor: bool) -> Option<Row> {
    let own_vendor = match gives_vendor && !fields.has("provider") {
        true => None,
        false => fields.need("provider").map(|field| vendor(&field)),
    };
    let models = fields.need("model").map(|field| models(&field));
    let base = rates(fields);
    let told = OPTIONAL.map(|name| fields.has(name));
    let tiers = fields.list("tiers", TIERS_MAX, |item| item.fields(|fields| tier(fields, &told)));
    refuse_disorder(fields, &tiers);
    let as_of = fields.get("asOf").map_or_else(|| common.as_of.clone(), |field| date(&field));
    let source = match fields.get("source") {
        Some(field) => field.word().map(|source| source.value),
        None => common.source.clone(),
    };
    Some(Row {
        vendor: own_vendor.unwrap_or(common.vendor)?,
        models: models.filter(|models| !models.is_empty())?,
        price: Price { base: base?, tiers: tiers.into_iter().map(|tier| tier.value).collect() },
        as_of,
        source,
    })
}

/// Prices that stand for another one where they are absent.
const OPTIONAL: [&str; 6] =
    ["cachedInput", "cacheWrite", "cacheWrite1h", "audioInput", "reasoning", "audioOutput"];

/// The prices of one kind of token each. Kinds of input that have none of their own cost what `input` costs, an hour in
/// the cache what any write costs, kinds of output what `output` costs.
pub(crate) fn rates(fields: &mut Fields<'_>) -> Option<Rates> {
    let input = fields.need("input").and_then(|field| field.nano());
    let output = fields.need("output").and_then(|field| field.nano());
    let [cached_input, cache_write, cache_write_1h, audio_input, reasoning, audio_output] =
        OPTIONAL.map(|name| fields.get(name).map(|field| field.nano()));
    let (input, output) = (input?, output?);
    let cache_write = cache_write.unwrap_or(Some(input))?;
    Some(Rates {
        input,
        cached_input: cached_input.unwrap_or(Some(input))?,
        cache_write,
        cache_write_1h: cache_write_1h.unwrap_or(Some(cache_write))?,
        audio_input: audio_input.unwrap_or(Some(input))?,
        output,
        reasoning: reasoning.unwrap_or(Some(output))?,
        audio_output: audio_output.unwrap_or(Some(output))?,
    })
}

/// A tier says again what its row says, lest cached input become dear because somebody forgot it.
fn tier(fields: &mut Fields<'_>, told: &[bool; 6]) -> Option<Located<Tier>> {
    let above = fields.need("above").and_then(|field| field.integer(1..=u64::MAX));
    let rates = rates(fields);
    for (name, _) in OPTIONAL.into_iter().zip(told).filter(|(_, told)| **told) {
        let _ = fields.need(name);
    }
    let above = above?;
    Some(Located { value: Tier { above: above.value, rates: rates? }, at: above.at })
}

fn refuse_disorder(fields: &Fields<'_>, tiers: &[Located<Tier>]) {
    for (one, next) in tiers.iter().zip(tiers.iter().skip(1)) {
        if next.value.above <= one.value.above {
            let message = format!("\"above\" must be more than the {} of the tier before", one.value.above);
            fields.faults().fault(next.at, message);
        }
    }
}

fn vendor(field: &Cursor<'_>) -> Option<&'static str> {
    let names = VENDORS.map(|vendor| (vendor.name, vendor.name));
    field.one_of(&names).map(|name| name.value)
}

/// A name, or a list of names.
fn models(field: &Cursor<'_>) -> Vec<Located<String>> {
    if !field.is_list() {
        return field.parsed(model).into_iter().collect();
    }
    if field.is_empty_list() {
        field.fault("must name a model");
    }
    field.list(MODELS_MAX, |item| item.parsed(model))
}

/// A model's name, or the beginning of one with a `*` at its end.
fn model(text: &str) -> Result<String, String> {
    match text.strip_suffix('*').unwrap_or(text) {
        "" => Err("must name a model".into()),
        bare if bare.contains('*') => Err("may have a \"*\" at its end only".into()),
        _ => Ok(text.into()),
    }
}

/// A day of the calendar.
fn date(field: &Cursor<'_>) -> Option<String> {
    let is_day = |text: &str| text.len() == "2025-09-01".len() && text.parse::<jiff::civil::Date>().is_ok();
    let read = |text: &str| match is_day(text) {
        true => Ok(text.to_owned()),
        false => Err("must be a date such as 2025-09-01".into()),
    };
    field.parsed(read).map(|date| date.value)
}

/// What becomes of a request whose model has no price: `free`, `deny`, or a map with `defaultPrice`.
pub(crate) fn unknown_model(field: &Cursor<'_>) -> Option<UnknownModel> {
    if field.is_map() {
        let rates = field.fields(|fields| fields.need("defaultPrice")?.fields(rates));
        return rates.map(UnknownModel::At);
    }
    const POLICIES: [(&str, bool); 2] = [("free", false), ("deny", true)];
    let denies = field.one_of(&POLICIES)?;
    Some(if denies.value { UnknownModel::Deny } else { UnknownModel::Free })
}

impl Row {
    /// Where the row stands and what it is taken from, for people.
    pub(crate) fn origin(&self, place: &str) -> String {
        let as_of = self.as_of.as_ref().map(|date| format!("as of {date}"));
        let parts = [Some(place.to_owned()), as_of, self.source.clone()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> Place {
        self.models.first().map_or(Place::WHOLE, |model| model.at)
    }
}
