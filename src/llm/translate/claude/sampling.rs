use super::Claude;
use crate::llm::translate::Lost;
use crate::llm::translate::hub::Request;

/// How a Claude model is to choose its words, by what was asked and what its release takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampling {
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<u64>,
}

impl Sampling {
    /// Temperature is 0 to 1 at Anthropic, and 1 when thinking. `top_p` of 1 asks for nothing and is left out.
    pub(crate) fn of(request: &Request<'_, '_>, claude: Claude, thinks: bool, lost: &mut Lost) -> Sampling {
        let mut sampling = Sampling::default();
        let keeps_temperature = claude.takes_sampling() && !thinks;
        if let Some(degrees) = request.temperature {
            if degrees != 1.0 && (degrees > 1.0 || !keeps_temperature) {
                lost.add("temperature");
            }
            if keeps_temperature {
                sampling.temperature = Some(degrees.min(1.0));
            }
        }
        if let Some(part) = request.top_p.filter(|part| *part != 1.0) {
            let beside_temperature = request.temperature.is_some() && keeps_temperature;
            if !claude.takes_sampling()
                || (thinks && part < 0.95)
                || (beside_temperature && !claude.takes_both_samplings())
            {
                lost.add("top_p");
            } else {
                sampling.top_p = Some(part);
            }
        }
        match request.top_k {
            Some(count) if keeps_temperature => sampling.top_k = Some(count),
            Some(_) => lost.add("top_k"),
            None => {}
        }
        sampling
    }
}
