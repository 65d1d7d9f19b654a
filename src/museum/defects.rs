//! The second wing: genuine defects that stand beside the patch in 2.6.11. `Gn` is item *n* of what was seen there.

use super::experiment::Experiment;

/// All of them, in the order of their numbers.
pub const ALL: &[Experiment] = &[];
