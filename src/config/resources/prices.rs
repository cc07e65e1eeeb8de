use crate::config::diagnostic::{Located, quoted};
use crate::config::reader::{Cursor, Fields};
use crate::llm::price::{Price, PriceRow};

/// A Prices resource of tollgate.dev: what tokens cost.
pub(crate) struct PriceList {
    pub(crate) rows: Vec<PriceRow>,
}

/// The most rows of one list.
const ROWS_MAX: usize = 10_000;

pub(crate) fn read(spec: &Cursor<'_>) -> Option<PriceList> {
    spec.fields(|fields| {
        fields.need("currency").inspect(|field| {
            field.one_of(&[("USD", ())]);
        });
        fields.need("perTokens").inspect(|field| {
            field.integer(1_000_000..=1_000_000);
        });
        let field = fields.need("prices")?;
        let mut rows: Vec<PriceRow> = Vec::new();
        for row in field.list(ROWS_MAX, |item| item.fields(row)) {
            let twin = rows.iter().any(|other| same_models(other, &row.value));
            match twin {
                true => {
                    let message = format!("{} has two prices", quoted(&row.value.model));
                    field.faults().fault_with_help(row.at, message, "keep one");
                }
                false => rows.push(row.value),
            }
        }
        Some(PriceList { rows })
    })
}

/// Whether both are about the same models, so that one would replace the other.
fn same_models(one: &PriceRow, other: &PriceRow) -> bool {
    (&one.provider, &one.model) == (&other.provider, &other.model)
}

fn row(fields: &mut Fields<'_>) -> Option<Located<PriceRow>> {
    const PROVIDERS: [(&str, &str); 3] =
        [("anthropic", "anthropic"), ("gemini", "gemini"), ("openai", "openai")];
    let provider = fields.need("provider").and_then(|field| field.one_of(&PROVIDERS));
    let model = fields.need("model").and_then(|field| field.parsed(model));
    let input = fields.need("input").and_then(|field| field.nano());
    let cached_input = fields.get("cachedInput").map(|field| field.nano());
    let cache_write = fields.get("cacheWrite").map(|field| field.nano());
    let output = fields.need("output").and_then(|field| field.nano());
    fields.need("asOf").inspect(|field| {
        field.parsed(date);
    });
    fields.need("source").inspect(|field| {
        field.word();
    });
    let or_input = |price: Option<Option<u64>>| match price {
        Some(price) => price,
        None => input,
    };
    let value = PriceRow {
        provider: provider?.value.into(),
        model: model?.value,
        price: Price {
            input: input?,
            cached_input: or_input(cached_input)?,
            cache_write: or_input(cache_write)?,
            output: output?,
        },
    };
    Some(Located { value, at: fields.at() })
}

/// A model's name, or the beginning of one with a `*` at its end.
fn model(text: &str) -> Result<String, String> {
    match text.strip_suffix('*').unwrap_or(text) {
        "" => Err("must name a model".into()),
        bare if bare.contains('*') => Err("may have a \"*\" at its end only".into()),
        _ => Ok(text.into()),
    }
}

fn date(text: &str) -> Result<(), String> {
    let shape = "dddd-dd-dd";
    let fits = |(b, s): (u8, u8)| if s == b'd' { b.is_ascii_digit() } else { b == s };
    match text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits) {
        true => Ok(()),
        false => Err("must be a date such as 2025-09-01".into()),
    }
}
