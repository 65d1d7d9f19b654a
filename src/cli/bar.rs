//! Progress on standard error: hidden when that is not a terminal.

use std::fmt::Write;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::lab::report::n;

/// A bar of this length.
pub(super) fn bar(length: u64, template: &str) -> ProgressBar {
    ProgressBar::new(length).with_style(style(template))
}

/// How a bar looks. Its `{per_sec}` is a number that can be read while it changes.
pub(super) fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the template is written here");
    style.with_key("per_sec", |state: &ProgressState, out: &mut dyn Write| {
        // Whoever writes a line of the bar has no use for an error.
        let _ = out.write_str(&rate(state.per_sec()));
    })
}

/// `1,404/s`, `101/s`, `0.4/s`.
fn rate(per_sec: f64) -> String {
    if per_sec < 10.0 { format!("{per_sec:.1}/s") } else { format!("{}/s", n(per_sec.round() as u64)) }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A terminal of which only the text counts.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().expect("no panic holds it").push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_rate_has_no_more_digits_than_can_be_read() {
        assert_eq!([0.0, 0.44, 9.9, 101.4402, 1_404.5].map(rate), ["0.0/s", "0.4/s", "9.9/s", "101/s", "1,405/s"]);
        let screen = Screen::default();
        let bar = bar(9, "{human_pos} of {len}  {per_sec}");
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        bar.set_position(7);
        bar.abandon();
        let text = screen.0.lock().expect("no panic holds it").clone();
        let shown = text.trim_end().rsplit_once("7 of 9  ").expect("the last drawing").1;
        let digits = shown.strip_suffix("/s").and_then(|rate| rate.rsplit_once('.')).map_or("", |(_, digits)| digits);
        assert!(shown.ends_with("/s") && digits.len() <= 1, "{shown}");
    }
}
