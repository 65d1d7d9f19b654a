//! From rows to text: who has which column when, how wide it is, and what is cut off.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::Lanes;
use super::rows::{Kind, LaneInfo, Row, Story};

/// ` step  `: where the first column starts.
const LEFT: usize = 7;
/// Blanks between two columns.
const GAP: usize = 3;
/// A column is not made narrower than this to get another one beside it.
const NARROWEST: usize = 22;
/// No text is asked to fit into less.
const LEAST: usize = 8;

/// Draws the story.
pub(super) fn draw(story: &Story, options: &Lanes) -> String {
    let width = options.width.max(40);
    let most = ((width - LEFT + GAP) / (NARROWEST + GAP)).max(1);
    let (cells, columns) = place(story, most);
    let mut page = Page { story, options, width, out: String::new(), spans: Vec::new() };
    page.spans = page.measure(&cells, columns);
    page.head(&cells);
    for cell in &cells {
        page.cell(cell);
    }
    page.rules();
    page.out
}

/// What stands in one row of the picture.
enum Cell<'a> {
    /// The lane takes the column over.
    Owner { column: usize, lane: usize, first: bool },
    /// A row; outside of every lane it has no column.
    Row { column: Option<usize>, row: &'a Row },
}

/// Gives every lane a column from its first row on. Without a free one, the lane that is silent for longest gives way.
fn place(story: &Story, most: usize) -> (Vec<Cell<'_>>, usize) {
    // When each lane is shown, latest first, so that what lies ahead is at the end.
    let mut ahead: Vec<Vec<usize>> = vec![Vec::new(); story.lanes.len()];
    for (i, row) in story.rows.iter().enumerate().rev() {
        if let Some(lane) = row.lane {
            ahead[lane].push(i);
        }
    }
    let mut owners: Vec<usize> = Vec::new();
    let mut cells = Vec::new();
    for row in &story.rows {
        let column = row.lane.map(|lane| {
            ahead[lane].pop();
            owners.iter().position(|owner| *owner == lane).unwrap_or_else(|| {
                let first = owners.len() < most;
                let column = if first {
                    owners.push(lane);
                    owners.len() - 1
                } else {
                    let silence = |column: &usize| ahead[owners[*column]].last().copied().unwrap_or(usize::MAX);
                    // The leftmost of those that are silent for longest: max_by_key would take the rightmost.
                    let column = (0..most).rev().max_by_key(silence).expect("there is a column");
                    owners[column] = lane;
                    column
                };
                cells.push(Cell::Owner { column, lane, first });
                column
            })
        });
        cells.push(Cell::Row { column, row });
    }
    (cells, owners.len())
}

/// Where a column starts, and how wide it is.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    width: usize,
}

struct Page<'a> {
    story: &'a Story,
    options: &'a Lanes,
    width: usize,
    out: String,
    spans: Vec<Span>,
}

impl Page<'_> {
    /// Each column gets what it needs, as long as the others have their fair share of the line.
    fn measure(&self, cells: &[Cell<'_>], columns: usize) -> Vec<Span> {
        let mut needs = vec![LEAST; columns];
        for cell in cells {
            let (column, need) = match cell {
                Cell::Owner { column, lane, .. } => (*column, chars(&self.owner(&self.story.lanes[*lane]))),
                Cell::Row { column: Some(column), row } if !spreads(row.kind) => {
                    (*column, 2 * row.depth + chars(&row.text))
                }
                Cell::Row { .. } => continue,
            };
            needs[column] = needs[column].max(need);
        }
        let total = (self.width - LEFT).saturating_sub(GAP * columns.saturating_sub(1));
        // The others may run on to the right; the last one has nothing there, so it is served first.
        let last = needs.pop().map(|need| need.min(if needs.is_empty() { total } else { total / 2 }));
        let mut widths = share(&needs, total - last.unwrap_or(0));
        widths.extend(last);
        let mut start = LEFT;
        let span = |width| {
            let span = Span { start, width };
            start += width + GAP;
            span
        };
        widths.into_iter().map(span).collect()
    }

    fn owner(&self, lane: &LaneInfo) -> String {
        let label = self.options.labels.get(&lane.name).map_or(lane.name.as_str(), String::as_str);
        format!("CPU{}  {label}", lane.cpu)
    }

    fn head(&mut self, cells: &[Cell<'_>]) {
        let (mut names, mut rule) = (String::from(" step"), String::from(" ----"));
        for cell in cells {
            if let Cell::Owner { column, lane, first: true } = cell {
                let Span { start, width } = self.spans[*column];
                pad(&mut names, start);
                names += &cut(&self.owner(&self.story.lanes[*lane]), width);
                pad(&mut rule, start);
                rule += &"-".repeat(width);
            }
        }
        self.out = format!("{names}\n{rule}\n");
    }

    fn cell(&mut self, cell: &Cell<'_>) {
        match cell {
            Cell::Owner { first: true, .. } => {}
            Cell::Owner { column, lane, .. } => {
                let Span { start, width } = self.spans[*column];
                let text = cut(&format!("-- {} ", self.owner(&self.story.lanes[*lane])), width);
                let text = format!("{text:-<width$}");
                self.line("", start, &text, Style::new());
            }
            Cell::Row { column, row } => self.row(column.map(|column| self.spans[column]), row),
        }
    }

    fn row(&mut self, span: Option<Span>, row: &Row) {
        let Span { start, width } = span.unwrap_or(Span { start: LEFT, width: self.width - LEFT });
        let indent = (2 * row.depth).min(width.saturating_sub(LEAST) / 2);
        // No other lane has anything in this row, so a long text may run on over the columns to the right.
        let (start, width) = (start + indent, self.width - start - indent);
        let first =
            if row.kind == Kind::Note || row.kind == Kind::Message { String::new() } else { row.step.to_string() };
        let style = self.style(row.kind);
        match row.kind {
            Kind::Note => {
                let hang = row.text.len() - row.text.trim_start_matches([' ', '^']).len();
                wrap(&row.text, width, hang).iter().for_each(|line| self.line(&first, start, line, style));
            }
            Kind::Message => slices(&row.text, width).iter().for_each(|line| self.line(&first, start, line, style)),
            _ => self.line(&first, start, &cut(&row.text, width), style),
        }
    }

    fn line(&mut self, step: &str, start: usize, text: &str, style: Style) {
        let dim = self.style(Kind::Noise);
        let gap = " ".repeat(start - LEFT + 2);
        let step = format!("{step:>5}");
        let line = if step.trim().is_empty() {
            format!("     {gap}{style}{text}{style:#}")
        } else {
            format!("{dim}{step}{dim:#}{gap}{style}{text}{style:#}")
        };
        self.out += line.trim_end();
        self.out.push('\n');
    }

    fn rules(&mut self) {
        for (i, rule) in self.story.rules.iter().enumerate() {
            if i == 0 {
                self.out.push('\n');
            }
            for line in wrap(&format!(" rule    {}", rule.sentence()), self.width, " rule    ".len()) {
                writeln!(self.out, "{line}").expect("a String takes everything");
            }
        }
    }

    fn style(&self, kind: Kind) -> Style {
        let style = Style::new();
        match kind {
            _ if !self.options.color => style,
            Kind::Call => style,
            Kind::Failed => style.fg_color(Some(AnsiColor::Yellow.into())),
            Kind::Message => style.fg_color(Some(AnsiColor::Cyan.into())),
            Kind::Noise | Kind::Sched | Kind::Fold => style.dimmed(),
            Kind::Note => style.bold().fg_color(Some(AnsiColor::Red.into())),
        }
    }
}

/// Messages and notes ask for no room of their own: they are broken into lines.
fn spreads(kind: Kind) -> bool {
    matches!(kind, Kind::Message | Kind::Note)
}

/// Small needs are met, the large ones share what is left evenly.
fn share(needs: &[usize], total: usize) -> Vec<usize> {
    let mut widths = vec![0; needs.len()];
    let mut order: Vec<_> = (0..needs.len()).collect();
    order.sort_by_key(|column| needs[*column]);
    let mut left = total;
    for (done, column) in order.into_iter().enumerate() {
        widths[column] = needs[column].min(left / (needs.len() - done));
        left -= widths[column];
    }
    widths
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

fn pad(line: &mut String, to: usize) {
    let blanks = to.saturating_sub(chars(line));
    line.extend(std::iter::repeat_n(' ', blanks));
}

/// At most `width` characters, the last of them `…` if any are missing.
fn cut(text: &str, width: usize) -> String {
    if chars(text) <= width {
        return text.into();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Breaks between words behind the first `hang` characters; all lines but the first are indented so far.
fn wrap(text: &str, width: usize, hang: usize) -> Vec<String> {
    let (first, rest) = text.split_at(hang);
    let mut lines = vec![first.to_owned()];
    for (i, word) in rest.split(' ').enumerate() {
        let last = lines.last_mut().expect("there is a first line");
        if i == 0 {
            last.push_str(word);
        } else if chars(last) + 1 + chars(word) <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(" ".repeat(hang) + word);
        }
    }
    lines.iter().map(|line| cut(line.trim_end(), width)).collect()
}

/// The message in lines of `width`; of one that does not fit into three of them the middle is left out.
fn slices(text: &str, width: usize) -> Vec<String> {
    const MOST: usize = 3;
    let text: Vec<char> = without_middle(text, MOST * width).chars().collect();
    text.chunks(width.max(1)).map(|line| line.iter().collect()).collect()
}

/// Of a message that is longer than `room` its first string, and of the last ones, in which messages differ (pids and
/// numbers), as many as fit.
fn without_middle(text: &str, room: usize) -> String {
    let strings: Vec<_> = text.split_inclusive("\\0").collect();
    let Some((first, others)) = strings.split_first().filter(|_| chars(text) > room) else { return text.into() };
    let mut left = room.saturating_sub(chars(first) + 1);
    let fits = |string: &&&str| {
        let fits = chars(string) <= left;
        left = left.saturating_sub(chars(string));
        fits
    };
    let last = others.iter().rev().take_while(fits).count();
    if last == 0 {
        return cut(text, room);
    }
    format!("{first}…{}", others[others.len() - last..].concat())
}
