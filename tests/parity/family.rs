//! Fork events by names that are the same for any pids: `p` forked `p.1`, and that one `p.1.1`.

use std::collections::BTreeMap;

use uevent::wire::connector::ForkIds;

/// One fork event, as a listener heard it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// The CPU that numbered it.
    pub cpu: u32,
    /// The parent that it names: thread and process.
    pub parent: (String, String),
    /// The child.
    pub child: (String, String),
}

impl Told {
    /// Without the CPU.
    pub fn who(&self) -> String {
        let ((parent, parents), (child, childs)) = (&self.parent, &self.child);
        format!("{parent} of {parents} made {child} of {childs}")
    }
}

/// Who forked whom, as those who did it say: the parent of `p` is `P`.
pub struct Family(BTreeMap<i32, String>);

impl Family {
    /// `p`, its parent, and each fork as caller and child, the forks of one caller in their order.
    pub fn new(parent: i32, p: i32, forks: &[(i32, i32)]) -> Family {
        let mut names = BTreeMap::from([(parent, "P".to_owned()), (p, "p".to_owned())]);
        let mut rest = forks.to_vec();
        // A caller may be told of after its child: several processes write.
        while !rest.is_empty() {
            let before = rest.len();
            let mut counts = BTreeMap::new();
            rest.retain(|(caller, child)| {
                let Some(name) = names.get(caller).cloned() else { return true };
                let nth = counts.entry(*caller).and_modify(|n| *n += 1).or_insert(1);
                names.insert(*child, format!("{name}.{nth}"));
                false
            });
            assert!(rest.len() < before, "forks by strangers: {rest:?}");
        }
        Family(names)
    }

    /// The event with names, if its child is one of the family and not `p` itself.
    pub fn told(&self, cpu: u32, ids: ForkIds) -> Option<Told> {
        let name = |pid: i32| self.0.get(&pid).cloned();
        let child = name(ids.child_pid).filter(|child| child != "p" && child != "P")?;
        let stranger = |pid| format!("stranger {pid}");
        let known = |pid| name(pid).unwrap_or_else(|| stranger(pid));
        Some(Told {
            cpu,
            parent: (known(ids.parent_pid), known(ids.parent_tgid)),
            child: (child, known(ids.child_tgid)),
        })
    }
}

/// All of them, without the CPUs.
pub fn who(events: &[Told]) -> Vec<String> {
    events.iter().map(Told::who).collect()
}

/// The forks of each caller are told in the order in which it made them, on each CPU.
pub fn assert_order_per_cpu(events: &[Told], what: &str) {
    let mut last: BTreeMap<(u32, String), usize> = BTreeMap::new();
    for event in events {
        let (caller, nth) = event.child.0.rsplit_once('.').expect("the child of somebody");
        let nth = nth.parse().expect("a number");
        let before = last.insert((event.cpu, caller.to_owned()), nth);
        assert!(before.is_none_or(|before| before < nth), "{what}: {} comes behind number {before:?}", event.who());
    }
}
