//! A message of a design without a kernel: the bytes that [`Design::read`] reads.

use uevent::wire::connector::{ForkIds, emit_fork_ascii, emit_fork_struct};
use uevent::wire::{emit_bare, emit_keyed, fork_keys};

use super::{Design, Format, Impossible, Seq};

/// The path of the patch's object below `/sys`.
pub const FORK_KOBJ: &str = "/fork_kobj";

impl Design {
    /// Appends the message of one fork, byte for byte as the simulated kernel sends it.
    ///
    /// `cpu` is where it happened; it is written where a format has room for it.
    ///
    /// # Errors
    /// [`Impossible`]: the format is a fault of the kernel's memory, which a message cannot show.
    pub fn write(&self, ids: &ForkIds, seq: Option<Seq>, cpu: u32, out: &mut Vec<u8>) -> Result<(), Impossible> {
        let number = seq.map_or(0, |seq| seq.number);
        match self.format {
            Format::Bare => bare(ids, out),
            Format::Keys => keyed("fork", ids, seq, out),
            Format::KeysChange => keyed("change", ids, seq, out),
            Format::ConnectorAscii => emit_fork_ascii(out, number, ids.parent_pid, ids.child_pid),
            Format::ConnectorStruct => emit_fork_struct(out, number, seq.and_then(|seq| seq.cpu).unwrap_or(cpu), ids),
            Format::Own(own) => own.write(ids, seq, out),
            Format::OneSlot | Format::ConnectorLeak => {
                let name = self.format.name();
                return Err(Impossible(format!(
                    "format {name} is a fault of the kernel's memory, not of its messages"
                )));
            }
        }
        Ok(())
    }
}

const NO_NUL: &str = "numbers and constants have neither NUL nor '@'";

fn bare(ids: &ForkIds, out: &mut Vec<u8>) {
    let pids = [ids.parent_pid, ids.child_pid].map(|pid| pid.to_string());
    emit_bare(out, "fork", FORK_KOBJ, pids).expect(NO_NUL);
}

fn keyed(action: &str, ids: &ForkIds, seq: Option<Seq>, out: &mut Vec<u8>) {
    let seq = seq.map(|seq| (seq.number, seq.cpu));
    let keys = fork_keys(action.as_bytes(), FORK_KOBJ.as_bytes(), ids, seq);
    emit_keyed(out, action, FORK_KOBJ, keys).expect(NO_NUL);
}

#[cfg(test)]
mod tests {
    use super::super::{Said, Sequence};
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let ids = ForkIds { parent_pid: 100, parent_tgid: 100, child_pid: 101, child_tgid: 101 };
        let said = |design: Design| design.format != Format::OneSlot && design.format != Format::ConnectorLeak;
        for design in Design::possible().filter(|&design| said(design)) {
            let cpu = (design.sequence == Sequence::PerCpu).then_some(1);
            let seq = (design.sequence != Sequence::None).then_some(Seq { number: 7, cpu });
            let mut bytes = Vec::new();
            design.write(&ids, seq, 1, &mut bytes).expect("a format of messages");
            let Said { ids: heard, seq: number, .. } = design.read(&bytes).expect("its own message");
            assert_eq!(heard, ids, "{design}");
            // The fork connector's text has no CPU: its number belongs to a CPU that it does not tell.
            let told =
                seq.map(|seq| if design.format == Format::ConnectorAscii { Seq { cpu: None, ..seq } } else { seq });
            assert_eq!(number, told, "{design}");
        }
    }
}
