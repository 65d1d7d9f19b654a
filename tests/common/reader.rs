//! Somebody who follows a page of the book to the letter, in a folder of his own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One block of the page, with the line above it that names a file.
pub struct Block {
    pub kind: String,
    file: Option<String>,
    pub text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut file) = (Vec::new(), None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let text: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(Block { kind: kind.to_owned(), file: file.clone(), text: text.join("\n") + "\n" });
        }
        let named = line.split('`').find(|word| word.starts_with("src/") && word.ends_with(".rs"));
        file = named.map(str::to_owned).or(file);
    }
    blocks
}

/// Does what a page says, in a folder that is gone afterwards; returns its blocks.
pub fn follow(page: &str) -> Vec<Block> {
    let page = fs::read_to_string(root().join(page)).expect("the page");
    let folder = tempfile::tempdir().expect("a folder");
    let mut reader = Reader { folder: folder.path().to_owned() };
    let blocks = blocks(&page);
    blocks.iter().for_each(|block| reader.follow(block));
    blocks
}

/// Somebody's folder, and what the page has made of it.
struct Reader {
    folder: PathBuf,
}

impl Reader {
    fn follow(&mut self, block: &Block) {
        let words: Vec<_> = block.kind.split(' ').collect();
        match words[..] {
            ["sh"] => block.text.lines().for_each(|line| self.command(line)),
            ["console"] => self.console(&block.text),
            ["rust", ref how @ ..] => self.write(how, block),
            _ => panic!("what is {:?}?", block.kind),
        }
    }

    fn cargo(&self, line: &str) -> (bool, String) {
        // What is a place on the page is another one here; the network is not needed.
        let line = line.replace("../forklab", root().to_str().expect("UTF-8"));
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        assert_eq!(words.next(), Some("cargo"), "{line}");
        let words: Vec<_> = words.collect();
        let offline = (words[0] != "new").then_some("--offline");
        let made = Command::new(env!("CARGO"))
            .arg(words[0])
            .args(offline)
            .args(&words[1..])
            .current_dir(&self.folder)
            // A place of their own that stays: other features and another profile than this project's tests have.
            .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("readers"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUST_BACKTRACE", "0")
            .output()
            .expect("cargo runs");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (made.status.success(), said(&made.stdout) + &said(&made.stderr))
    }

    fn command(&mut self, line: &str) {
        if let Some(folder) = line.strip_prefix("cd ") {
            self.folder.push(folder);
            // The versions that this project is tested with are those that are there without a network.
            fs::copy(root().join("Cargo.lock"), self.folder.join("Cargo.lock")).expect("copies");
            return;
        }
        let (well, said) = self.cargo(line);
        assert!(well, "{line}\n{said}");
    }

    fn console(&self, text: &str) {
        let (command, shown) = text.split_once('\n').expect("a command and what it prints");
        let (well, said) = self.cargo(command.strip_prefix("$ ").expect("a command"));
        assert_eq!(well, !shown.contains("FAILED"), "{command}\n{said}");
        let mut lines = said.lines();
        for expected in shown.lines() {
            let found = lines.any(|line| line.starts_with(expected));
            assert!(found, "{command}: does not print, or not in this order:\n{expected}\nbut:\n{said}");
        }
    }

    fn write(&self, how: &[&str], block: &Block) {
        let file = self.folder.join(block.file.as_ref().expect("the page names a file"));
        let old = fs::read_to_string(&file).unwrap_or_default();
        let new = match how {
            [] => block.text.clone(),
            ["append"] => old + "\n" + &block.text,
            ["replace", what @ ..] => {
                let from = old.find(&what.join(" ")).expect("what is replaced");
                let end = from + old[from..].find("\n}\n").expect("its end") + "\n}\n".len();
                format!("{}{}{}", &old[..from], block.text, &old[end..])
            }
            // Its last line is there already, and gets the others before it.
            ["line"] => {
                let last = block.text.lines().last().expect("a line").to_owned() + "\n";
                assert!(old.contains(&last), "{last}");
                old.replacen(&last, &block.text, 1)
            }
            _ => panic!("{how:?}"),
        };
        fs::write(file, new).expect("writes");
    }
}
