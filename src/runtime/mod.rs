//! Layer 2, the side that touches the kernel: tasks, sockets, deadlines, mailboxes. Knows no HTTP.
//!
//! One worker thread is one [`executor`] (glommio) with one private [`Ring`] (io_uring; epoll in a build with the
//! feature of that name, which is there to be compared with). A task gets sockets from a [`Listener`] or by
//! [`Socket::connect`], and everything it waits for wakes it through the ring.
//!
//! `unsafe` is allowed in this room only, in the files that speak to the kernel; each block says why it holds.
#![allow(unsafe_code)]

pub mod clock;
pub mod cores;
mod driver;
pub mod executor;
mod gather;
pub mod inherit;
mod listener;
mod mailbox;
pub mod notify;
mod outgoing;
pub mod passing;
#[cfg(test)]
mod planted;
pub mod privileges;
pub mod probe;
mod ring;
mod sleep;
mod slots;
mod socket;
pub mod unix_listener;
mod wheel;

pub use gather::{Gather, PIECES_MAX};
pub use listener::{Listener, bind};
pub use mailbox::{MailReceiver, MailSender, mailbox};
pub use ring::{Ring, RingConfig};
pub use sleep::{Sleep, sleep};
pub use socket::Socket;
