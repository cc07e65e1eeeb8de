//! Requests as bytes: heads and body framing, read strictly, without a socket.

mod body;
mod head;

pub(crate) use body::{BodyReader, BodyStep};
pub(crate) use head::{BodyFraming, Head, HeadStep, read_head};
