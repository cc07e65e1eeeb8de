use crate::llm::translate::emit::Emit;

/// Writes the blocks of a conversation into messages whose roles alternate, as Anthropic and Bedrock have them:
/// neighbours of one role become one message, so that the results of parallel calls stand together. A message is opened
/// when its first block comes; one without any is not written, as both refuse empty ones.
pub(crate) struct Blocks<'e, 'o> {
    e: &'e mut Emit<'o>,
    /// The role of the message that is open.
    open: Option<&'static str>,
}

impl<'e, 'o> Blocks<'e, 'o> {
    /// Begins the array of messages.
    pub(crate) fn new(e: &'e mut Emit<'o>) -> Blocks<'e, 'o> {
        e.open(b'[');
        Blocks { e, open: None }
    }

    /// Where the next block of `role` is to be written.
    pub(crate) fn of(&mut self, role: &'static str) -> &mut Emit<'o> {
        if self.open != Some(role) {
            self.close();
            self.e.open(b'{');
            self.e.key("role").str(role);
            self.e.key("content").open(b'[');
            self.open = Some(role);
        }
        self.e
    }

    /// Whose message is open; `None` before the first block.
    pub(crate) fn role(&self) -> Option<&'static str> {
        self.open
    }

    /// Ends the array. False when there was no block at all.
    #[must_use]
    pub(crate) fn end(mut self) -> bool {
        self.close();
        self.e.close(b']');
        self.open.is_some()
    }

    fn close(&mut self) {
        if self.open.is_some() {
            self.e.close(b']');
            self.e.close(b'}');
        }
    }
}
