//! The museum: what mails of two decades found wrong with this notification, and what nobody found.
//!
//! | module | holds |
//! |---|---|
//! | [`exhibits`] | the first wing: what mails found, `P1` … `P28`, several where there are several |
//! | [`experiment`] | one small story on the modelled kernel, told under any list of choices |
//! | [`defects`] | the second wing: genuine defects of 2.6.11 beside the patch, `G8` … `G43` |
//! | [`piece`] | an exhibit of either wing as it is shown: searched, made small, replayed, mended |
//! | [`story`] | an experiment told again: its replay line, its report |

pub mod defects;
pub mod exhibits;
pub mod experiment;
pub mod piece;
pub mod story;
