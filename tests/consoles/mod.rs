//! Blocks of Markdown that begin with three backticks and `console`: run, and compared with what they show.
//!
//! `$ forklab …` is a command, single quotes hold words together; `? 1` below it is its exit code, if not 0; then stands
//! what it prints, standard error behind standard output. `...` stands for any number of lines.
//! trycmd would do, if it did not take the backslash of `\0` for a path of Windows, and show `/0`.

use std::path::Path;

use crate::common::forklab;

struct Console {
    command: String,
    code: i32,
    shown: Vec<String>,
}

/// Checks every console of a page; says what is wrong, or corrects the page.
pub fn check(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).expect("a page is text");
    let update = std::env::var_os("UPDATE_CONSOLES").is_some();
    let (mut wrong, mut out, mut commands) = (Vec::new(), String::new(), 0);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        out += &format!("{line}\n");
        if line != "```console" {
            continue;
        }
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        for (i, console) in consoles(&block).into_iter().enumerate() {
            commands += 1;
            let printed = run(&console.command);
            if !(printed.code == console.code && matches(&console.shown, &printed.shown)) {
                wrong.push(format!("{}: {}\n{}", page.display(), console.command, difference(&console, &printed)));
            }
            let right = if matches(&console.shown, &printed.shown) { &console } else { &printed };
            out += if i == 0 { "" } else { "\n" };
            out += &format!("$ {}\n", console.command);
            out += &if printed.code == 0 { String::new() } else { format!("? {}\n", printed.code) };
            right.shown.iter().for_each(|line| out += &format!("{line}\n"));
        }
        out += "```\n";
    }
    assert!(commands > 0, "{}: no console", page.display());
    if update && !wrong.is_empty() {
        std::fs::write(page, out).expect("a page can be written");
        wrong.clear();
    }
    wrong
}

fn consoles(block: &[&str]) -> Vec<Console> {
    let mut consoles: Vec<Console> = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), consoles.last_mut()) {
            (Some(command), _) => consoles.push(Console { command: command.into(), code: 0, shown: Vec::new() }),
            (None, Some(console)) => match line.strip_prefix("? ").and_then(|code| code.parse().ok()) {
                Some(code) if console.shown.is_empty() => console.code = code,
                _ => console.shown.push((*line).to_owned()),
            },
            (None, None) => panic!("a console begins with a command, not with {line:?}"),
        }
    }
    consoles.iter_mut().for_each(|console| trim(&mut console.shown));
    consoles
}

/// The words of a command; single quotes hold several together.
pub fn words(command: &str) -> Vec<&str> {
    let words = command.split('\'').enumerate().flat_map(|(i, part)| {
        // Every second part stood between quotes.
        if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }
    });
    words.collect()
}

fn run(command: &str) -> Console {
    let words = words(command);
    assert_eq!(words[0], "forklab", "{command}");
    let done = forklab(&words[1..]);
    let mut shown: Vec<_> = done.out.lines().chain(done.err.lines()).map(|line| line.trim_end().to_owned()).collect();
    trim(&mut shown);
    Console { command: command.into(), code: done.code.unwrap_or(-1), shown }
}

fn trim(lines: &mut Vec<String>) {
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
}

fn matches(shown: &[String], printed: &[String]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (Some((dots, rest)), _) if dots == "..." => (0..=printed.len()).any(|from| matches(rest, &printed[from..])),
        (Some((one, shown)), Some((other, printed))) => one == other && matches(shown, printed),
        (None, None) => true,
        _ => false,
    }
}

fn difference(shown: &Console, printed: &Console) -> String {
    if shown.code != printed.code {
        return format!("  shown:   exit code {}\n  printed: exit code {}", shown.code, printed.code);
    }
    let same = shown.shown.iter().zip(&printed.shown).take_while(|(one, other)| one == other).count();
    let line = |lines: &[String]| lines.get(same).cloned().unwrap_or_else(|| "(the end)".into());
    format!("  shown:   {}\n  printed: {}", line(&shown.shown), line(&printed.shown))
}
