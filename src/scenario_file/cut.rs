//! A smaller scenario: without a listener, a task, an action, or with fewer repetitions. What a shrunk finding names.

use std::fmt;
use std::str::FromStr;

use super::{Action, ScenarioFile};

/// One thing that is left out of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// `NAME`: a listener, or a task that starts at boot.
    Name(String),
    /// `NAME#N`: the N-th action of a task, from 1.
    Action(String, usize),
    /// `NAME#NxT`: all but T repetitions of the N-th action.
    Times(String, usize, u32),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Name(name) => f.write_str(name),
            Cut::Action(name, nth) => write!(f, "{name}#{nth}"),
            Cut::Times(name, nth, times) => write!(f, "{name}#{nth}x{times}"),
        }
    }
}

impl FromStr for Cut {
    type Err = ();

    fn from_str(text: &str) -> Result<Cut, ()> {
        let Some((name, rest)) = text.split_once('#') else { return Ok(Cut::Name(text.to_owned())) };
        let nth = |text: &str| text.parse::<usize>().ok().filter(|nth| *nth > 0).ok_or(());
        match rest.split_once('x') {
            None => Ok(Cut::Action(name.to_owned(), nth(rest)?)),
            Some((at, times)) => Ok(Cut::Times(name.to_owned(), nth(at)?, times.parse().map_err(|_| ())?)),
        }
    }
}

impl ScenarioFile {
    /// Leaves something out.
    ///
    /// # Errors
    /// What was expected, if there is no such thing, or if the rest would be no scenario.
    pub fn cut(&mut self, cut: &Cut) -> Result<(), String> {
        match cut {
            Cut::Name(name) => {
                if let Some(at) = self.listeners.iter().position(|listener| listener.name == *name) {
                    self.listeners.remove(at);
                    return Ok(());
                }
                let boots: Vec<_> = self.boots().map(|task| task.name.clone()).collect();
                if boots.len() < 2 || !boots.contains(name) {
                    return Err("a listener, or a task that starts at boot and is not the only one".into());
                }
                self.tasks.retain(|task| task.name != *name);
                self.drop_orphans(&boots);
                Ok(())
            }
            Cut::Action(name, nth) => {
                self.action(name, *nth)?;
                let boots: Vec<_> = self.boots().map(|task| task.name.clone()).collect();
                let task = self.tasks.iter_mut().find(|task| task.name == *name).expect("it has that action");
                task.does.remove(nth - 1);
                self.drop_orphans(&boots);
                Ok(())
            }
            Cut::Times(name, nth, fewer) => match self.action_mut(name, *nth)? {
                Action::Fork { times, .. } if (1..*times).contains(fewer) => {
                    *times = *fewer;
                    Ok(())
                }
                _ => Err("a fork that is repeated more often than that".into()),
            },
        }
    }

    /// Leaves out what nobody forks any more: it would start at boot now.
    fn drop_orphans(&mut self, boots: &[String]) {
        let orphan =
            |scenario: &ScenarioFile| scenario.boots().map(|task| task.name.clone()).find(|name| !boots.contains(name));
        while let Some(orphan) = orphan(self) {
            self.tasks.retain(|task| task.name != orphan);
        }
    }

    fn action(&self, name: &str, nth: usize) -> Result<&Action, String> {
        let task = self.task(name).ok_or("a task's name")?;
        task.does.get(nth - 1).ok_or_else(|| format!("an action from 1 to {}", task.does.len()))
    }

    fn action_mut(&mut self, name: &str, nth: usize) -> Result<&mut Action, String> {
        let task = self.tasks.iter_mut().find(|task| task.name == name).ok_or("a task's name")?;
        let count = task.does.len();
        task.does.get_mut(nth - 1).ok_or_else(|| format!("an action from 1 to {count}"))
    }

    /// Everything that could be left out, the largest first. Names of programs that only others fork are none of it.
    #[must_use]
    pub fn cuts(&self) -> Vec<Cut> {
        let boots: Vec<_> = self.boots().map(|task| task.name.clone()).collect();
        let mut cuts: Vec<_> = self.listeners.iter().map(|listener| Cut::Name(listener.name.clone())).collect();
        if boots.len() > 1 {
            cuts.extend(boots.into_iter().map(Cut::Name));
        }
        for task in &self.tasks {
            for (i, action) in task.does.iter().enumerate() {
                if let Action::Fork { times, .. } = action
                    && *times > 1
                {
                    cuts.push(Cut::Times(task.name.clone(), i + 1, *times / 2));
                    cuts.push(Cut::Times(task.name.clone(), i + 1, *times - 1));
                }
            }
            // The last first, so that the numbers of the others stay.
            cuts.extend((1..=task.does.len()).rev().map(|nth| Cut::Action(task.name.clone(), nth)));
        }
        cuts
    }
}
