//! One small story on the modelled kernel, told under any list of choices.

use std::rc::Rc;

use fork_model::{System, SystemConfig};
use sim::{Chooser, Ended, Machine};

/// A story: how the machine is built, what happens on it, and which rule that may break.
///
/// It is told once for each list of choices. All that may differ is asked of the machine: who steps next at a point, what
/// fails (`sim::mm::Faults::explore`), and everything else by [`Machine::choose`] with a `sim::Question::Branch`.
/// What it finds it reports to the machine ([`Machine::report`]); most stories state a law (`sim::Rule::Law`).
#[derive(Clone, Copy)]
pub struct Experiment {
    /// The name in a replay line, such as `G16`.
    pub id: &'static str,
    /// What goes wrong, in a few words.
    pub title: &'static str,
    /// What the kernel does there and why it is wrong, in a sentence or two, in our own words.
    pub says: &'static str,
    /// Where it stands in Linux 2.6.11: file and function.
    pub source: &'static str,
    /// What mended it, later or here: in words.
    pub mended_by: &'static str,
    /// The machine.
    pub machine: fn() -> sim::Config,
    /// The kernel; with `true` the mended one.
    pub kernel: fn(mended: bool) -> SystemConfig,
    /// How many allocations may fail in one telling.
    pub faults: u32,
    /// Starts the lanes of the story. The kernel has not booted.
    pub tell: fn(&Rc<System>),
    /// Looks at what is left when nobody can step any more, and reports.
    pub judge: fn(&Rc<System>),
}

impl PartialEq for Experiment {
    fn eq(&self, other: &Experiment) -> bool {
        self.id == other.id
    }
}
impl Eq for Experiment {}

impl std::fmt::Debug for Experiment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

impl Experiment {
    /// Tells the story once. The machine that is returned has the violations, and the trace's hash if `prepare` asked for it.
    ///
    /// # Panics
    /// If the kernel cannot be built.
    pub fn once(
        &self,
        mended: bool,
        chooser: impl Chooser + 'static,
        prepare: impl FnOnce(&Machine),
    ) -> (Rc<System>, Ended) {
        let m = Machine::new((self.machine)(), chooser);
        prepare(&m);
        let sys = System::new(m.clone(), (self.kernel)(mended)).expect("an experiment's kernel can be built");
        m.mem.faults(|faults| faults.explore = self.faults);
        (self.tell)(&sys);
        let ended = m.run();
        (self.judge)(&sys);
        (sys, ended)
    }
}
