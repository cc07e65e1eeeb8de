//! Minimum, median and maximum of what several rounds found.

use serde_json::{Value, json};

/// The spread of some figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
    pub(crate) count: usize,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let half = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 };
        Some(Spread { min, median, max, count: values.len() })
    }

    pub(crate) fn json(&self) -> Value {
        json!({"min": self.min, "median": self.median, "max": self.max, "rounds": self.count})
    }
}

/// `median (min–max)`, with so many decimals; the median alone of a single round.
pub(crate) fn shown(spread: Option<Spread>, decimals: usize) -> String {
    match spread {
        None => "–".to_string(),
        Some(spread) if spread.count == 1 => format!("{:.decimals$}", spread.median),
        Some(Spread { min, median, max, .. }) => {
            format!("{median:.decimals$} ({min:.decimals$}–{max:.decimals$})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        assert_eq!(Spread::of([]), None);
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!(shown(odd, 1), "2.0 (1.0–3.0)");
        assert_eq!(shown(Spread::of([1.0, 4.0]), 1), "2.5 (1.0–4.0)");
        assert_eq!((shown(Spread::of([1.0]), 2), shown(None, 2)), ("1.00".to_string(), "–".to_string()));
        assert_eq!(odd.map(|spread| spread.json()["median"].as_f64()), Some(Some(2.0)));
    }
}
