//! What providers really said, read, metered, cut and translated: `support/recordings.rs` says where it is from.

#[path = "recordings/converse.rs"]
mod converse;
#[path = "recordings/cut.rs"]
mod cut;
#[path = "recordings/embeddings.rs"]
mod embeddings;
#[path = "recordings/eventstream.rs"]
mod eventstream;
#[path = "recordings/gemini.rs"]
mod gemini;
#[path = "recordings/meter.rs"]
mod meter;
#[path = "support/recordings.rs"]
mod recordings;
#[path = "recordings/responses.rs"]
mod responses;
#[path = "recordings/tokens.rs"]
mod tokens;
#[path = "recordings/translate.rs"]
mod translate;
