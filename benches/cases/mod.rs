//! What is measured: by the clock in the benches named after it, in instructions by the bench `instructions`.
//!
//! A function here makes its set-up and returns what is run once for each count. It hands its input to the code
//! through `black_box` and the result out the same way, so that neither is known beforehand nor left out.

pub(crate) mod answer;
pub(crate) mod head;
pub(crate) mod json;
pub(crate) mod limit;
pub(crate) mod record;
pub(crate) mod route;
pub(crate) mod translate;
