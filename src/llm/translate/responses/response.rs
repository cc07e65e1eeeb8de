use super::items::Status;
use crate::llm::Usage;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::Finish;
use crate::llm::translate::usage;

/// What every form of a response says of it.
#[derive(Clone, Copy)]
pub(super) struct Response<'a> {
    pub(super) id: &'a str,
    pub(super) created_unix: u64,
    pub(super) model: &'a str,
    pub(super) ending: Ending,
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) status: Status,
    /// Why it is incomplete.
    reason: Option<&'static str>,
}

impl Ending {
    /// It has not.
    pub(super) const NONE: Ending = Ending { status: Status::InProgress, reason: None };

    /// A model that says why it refuses has answered; one that a filter stopped has not.
    pub(super) fn of(finish: Finish, explained: bool) -> Ending {
        let reason = match finish {
            Finish::Length => Some("max_output_tokens"),
            Finish::Refused if !explained => Some("content_filter"),
            _ => None,
        };
        Ending { status: if reason.is_some() { Status::Incomplete } else { Status::Completed }, reason }
    }

    /// The event that ends a stream so.
    pub(super) const fn event(self) -> &'static str {
        match self.status {
            Status::Incomplete => "response.incomplete",
            Status::InProgress | Status::Completed => "response.completed",
        }
    }
}

impl Response<'_> {
    /// Writes the object, whose items `output` writes. It has every member that OpenAI's SDKs demand; those that
    /// repeat the request hold what OpenAI's default is, for an answer does not know it.
    pub(super) fn write(&self, usage: Option<Usage>, e: &mut Emit<'_>, output: impl FnOnce(&mut Emit<'_>)) {
        e.object(|e| {
            e.key("id").str(self.id);
            e.key("object").str("response");
            e.key("created_at").u64(self.created_unix);
            e.key("status").str(self.ending.status.word());
            e.key("background").raw("false");
            e.key("error").raw("null");
            e.key("incomplete_details");
            match self.ending.reason {
                Some(reason) => e.object(|e| e.key("reason").str(reason)),
                None => e.raw("null"),
            }
            e.key("instructions").raw("null");
            e.key("max_output_tokens").raw("null");
            e.key("metadata").raw("{}");
            e.key("model").str(self.model);
            output(e.key("output"));
            e.key("parallel_tool_calls").raw("true");
            e.key("previous_response_id").raw("null");
            e.key("reasoning").raw(r#"{"effort":null,"summary":null}"#);
            e.key("store").raw("false");
            e.key("temperature").raw("null");
            e.key("text").raw(r#"{"format":{"type":"text"}}"#);
            e.key("tool_choice").str("auto");
            e.key("tools").raw("[]");
            e.key("top_p").raw("null");
            e.key("truncation").str("disabled");
            e.key("usage");
            match usage {
                Some(usage) => usage::to_responses(usage, e),
                None => e.raw("null"),
            }
            e.key("user").raw("null");
        });
    }
}

/// What the end of a response says.
pub(super) fn finish_of(reason: &str) -> Finish {
    match reason {
        "max_output_tokens" => Finish::Length,
        "content_filter" => Finish::Refused,
        _ => Finish::Stop,
    }
}
