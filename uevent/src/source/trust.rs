//! Whom a reader believes.

use std::fmt;

use super::{Credentials, Sender};

/// Whose messages a reader takes.
///
/// udev once believed everyone, and so everyone became root (CVE-2009-1185).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The kernel's: port id 0, which no process can have, and uid 0; in a user namespace that does not know the real root,
    /// the overflow uid of pid 0.
    #[default]
    Kernel,
    /// The kernel's, and those of any process of root: for udevd's group 2.
    Root,
    /// Everybody's. For a bus of one's own, and for looking at hostile streams.
    Anyone,
}

/// Why a datagram is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It came from a process, not from the kernel.
    NotKernel(Sender),
    /// It came from a process of another user than root.
    NotRoot(Sender),
    /// The kernel did not say whose it is: the socket did not ask for credentials.
    NoCredentials(Sender),
}

impl Trust {
    /// Whether this sender is believed.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(self, sender: Sender) -> Result<(), Refusal> {
        if self == Trust::Anyone {
            return Ok(());
        }
        let Some(credentials) = sender.credentials else { return Err(Refusal::NoCredentials(sender)) };
        match self {
            Trust::Kernel if sender.port != 0 || !credentials.may_be_the_kernel() => Err(Refusal::NotKernel(sender)),
            Trust::Root if credentials.uid != 0 => Err(Refusal::NotRoot(sender)),
            _ => Ok(()),
        }
    }
}

/// What a user id is shown as where it is not mapped: the default of `kernel.overflowuid`.
const OVERFLOW_UID: u32 = 65534;

impl Credentials {
    fn may_be_the_kernel(self) -> bool {
        self.uid == 0 || (self.pid, self.uid) == (0, OVERFLOW_UID)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Refusal::NotKernel(sender) | Refusal::NotRoot(sender) | Refusal::NoCredentials(sender)) = self;
        write!(f, "sent by port {}", sender.port)?;
        if let Some(credentials) = sender.credentials {
            write!(f, ", pid {}, uid {}", credentials.pid, credentials.uid)?;
        }
        f.write_str(match self {
            Refusal::NotKernel(_) => ": not the kernel",
            Refusal::NotRoot(_) => ": not root",
            Refusal::NoCredentials(_) => ": without credentials",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_believed_as_what() {
        let process = |uid| Sender { port: 77, credentials: Some(Credentials { pid: 77, uid }) };
        let anonymous = Sender { port: 0, credentials: None };
        let judged = |sender| [Trust::Kernel, Trust::Root, Trust::Anyone].map(|trust| trust.judge(sender).is_ok());
        assert_eq!(judged(Sender::KERNEL), [true, true, true]);
        assert_eq!(judged(process(0)), [false, true, true]);
        assert_eq!(judged(process(1000)), [false, false, true]);
        let unmapped = Sender { port: 0, credentials: Some(Credentials { pid: 0, uid: OVERFLOW_UID }) };
        assert_eq!(judged(unmapped), [true, false, true]);
        assert_eq!(judged(anonymous), [false, false, true]);
    }

    #[test]
    fn a_refusal_says_who_it_was() {
        let sender = Sender { port: 77, credentials: Some(Credentials { pid: 78, uid: 1000 }) };
        let said = Trust::Kernel.judge(sender).unwrap_err().to_string();
        assert_eq!(said, "sent by port 77, pid 78, uid 1000: not the kernel");
    }
}
