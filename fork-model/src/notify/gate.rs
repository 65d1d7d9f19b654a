//! Who is asked before an event is made.

use sim::touch::Access;
use uevent::af_netlink::{SockRef, netlink_has_listeners};
use uevent::cn_proc::{CN_FORK_ENABLE, Listening, NUM_LISTENERS};

use crate::System;
use crate::design::{Gate, Over};

/// The group of the events: bit 0, which is in `CN_IDX_FORK` and in `CN_IDX_PROC`, too.
pub const GROUP: u32 = 1;

/// The kernel socket that the design's messages go through, if it exists.
fn kernel_socket(sys: &System) -> Option<SockRef> {
    match sys.config.design.format.over() {
        Over::KobjectUevent => sys.core.uevent_sock(),
        Over::Connector => sys.core.cn_sock(),
    }
}

/// Whether the event is to be made. No gate allocates, locks or sleeps.
#[must_use]
pub fn is_open(sys: &System) -> bool {
    let gate = sys.config.design.gate;
    let open = ask(sys, gate);
    if gate != Gate::Always {
        sys.m.call("gate", || vec![("name", gate.name().into())], Some(open.into()));
    }
    open
}

fn ask(sys: &System, gate: Gate) -> bool {
    let Listening { cn_fork_enable, proc_event_num_listeners } = &sys.core.listening;
    match gate {
        Gate::Always => true,
        Gate::Socket => kernel_socket(sys).is_some(),
        Gate::OnOff => {
            sys.m.touch(CN_FORK_ENABLE, Access::Read);
            cn_fork_enable.get()
        }
        // "if (atomic_read(&proc_event_num_listeners) < 1) return;"
        Gate::Counter | Gate::CounterReset => {
            sys.m.touch(NUM_LISTENERS, Access::Read);
            proc_event_num_listeners.get() >= 1
        }
        Gate::HasListeners => kernel_socket(sys).is_some_and(|sock| netlink_has_listeners(&sys.core, sock, GROUP)),
    }
}

/// A broadcast answered -ESRCH: as mainline of January 2024 had it, nobody listens any more (c46bfba1337d, P6).
pub(crate) fn nobody_got_it(sys: &System) {
    if sys.config.design.gate == Gate::CounterReset {
        sys.m.touch(NUM_LISTENERS, Access::Write);
        sys.core.listening.proc_event_num_listeners.set(0);
    }
}
