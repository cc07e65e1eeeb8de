//! What an exchange costs: looked up once for what is asked, once for what was used.

use super::entry::Entry;
use super::fault::Fault;
use crate::base::{Money, Tokens};
use crate::config::UnknownModel;
use crate::llm::price::{PriceId, Rates};
use crate::llm::{Meter, Usage};
use crate::telemetry::record::bounded;
use crate::telemetry::{Payee, PriceSource, Priced, UsageSource};

/// By whose prices an exchange is paid, and which is known so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pricing {
    /// `None` until a provider is chosen, and of plain hosts, which cost nothing.
    vendor: Option<&'static str>,
    /// The price of the model that the provider is asked for.
    asked: Option<PriceId>,
}

impl Entry {
    /// Step 5: the price of the model that the provider will be asked for, empty when nobody names one. By it the
    /// estimate is made.
    ///
    /// # Errors
    /// There is none, and the configuration has such requests refused.
    pub(super) fn find_price(&mut self, vendor: Option<&'static str>, model: &[u8]) -> Result<(), Fault> {
        let Some(vendor) = vendor else { return Ok(()) };
        let snapshot = &self.serving.in_force.snapshot;
        let asked = std::str::from_utf8(model).ok().and_then(|model| snapshot.catalogue.find(vendor, model));
        self.pricing = Pricing { vendor: Some(vendor), asked };
        if asked.is_some() || snapshot.settings.prices.unknown_model != UnknownModel::Deny {
            return Ok(());
        }
        self.record.model_used = bounded(model);
        self.note_price(vendor, PriceSource::Unknown);
        Err(Fault::Unpriced { model: self.record.model_used.to_string(), vendor })
    }

    /// What `usage` is foreseen to cost: by the model that is asked for, and by the tier that the estimated input falls in,
    /// so that all of a stream is reserved by one price.
    pub(super) fn foreseen_cost(&self, usage: &Usage) -> Money {
        let rates = self.pricing.vendor.and_then(|_| self.rates(self.pricing.asked, self.foreseen.input));
        rates.map_or(Money::ZERO, |rates| rates.cost(usage))
    }

    /// Step 10: what `usage` cost, by the model that the provider says it used, else by the one that it was asked for; it
    /// is noted which price that was.
    pub(super) fn cost(&mut self, usage: &Usage, source: UsageSource) -> Money {
        let Some(vendor) = self.pricing.vendor.filter(|_| source != UsageSource::None) else {
            return Money::ZERO;
        };
        let catalogue = &self.serving.in_force.snapshot.catalogue;
        let used = self.meter.as_ref().and_then(Meter::model);
        let listed = used.and_then(|model| catalogue.find(vendor, model)).or(self.pricing.asked);
        let rates = self.rates(listed, usage.input).copied();
        self.note_price(
            vendor,
            match (listed, rates) {
                (Some(_), _) => PriceSource::Listed,
                (None, Some(_)) => PriceSource::Default,
                (None, None) => PriceSource::Unknown,
            },
        );
        rates.map_or(Money::ZERO, |rates| rates.cost(usage))
    }

    /// The rates of a price for so much input; without a price those of the configuration for models that have none.
    fn rates(&self, listed: Option<PriceId>, input: Tokens) -> Option<&Rates> {
        self.serving.in_force.snapshot.rates(listed, input)
    }

    fn note_price(&mut self, vendor: &'static str, source: PriceSource) {
        let payee = Payee::named(vendor);
        self.record.price = Some(Priced { payee, source });
        if source == PriceSource::Listed {
            return;
        }
        self.worker.desk.counters.unpriced.count(payee);
        if self.record.model_used.is_empty() {
            self.record.model_used = bounded(self.foreseen.model.as_bytes());
        }
    }
}
