//! The progress display of training: a bar on a terminal, plain lines elsewhere.

use std::{
    fmt,
    io::{self, Write},
    time::{Duration, Instant},
};

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

/// The shortest time between two drawings of the bar.
const REDRAW: Duration = Duration::from_millis(100);
/// The time between two lines where there is no bar.
const INTERVAL: Duration = Duration::from_secs(10);
/// A bar that would be shorter than this is left out.
const SHORTEST_BAR: usize = 10;

/// Shows the progress of training: epoch, step, loss, accuracy, learning rate, images per second, remaining time.
///
/// On a terminal it draws a bar on stderr, and drops numbers where the line is too narrow. Elsewhere it prints a line on stdout
/// about every ten seconds. Permanent lines ([`finish_epoch`](Self::finish_epoch), [`println`](Self::println)) go to stdout. A
/// closed stdout is not an error: training continues.
pub struct Progress {
    output: Output,
    at: Position,
    /// The start of the first epoch of this process.
    began: Option<Instant>,
    /// Steps of the run before this process started.
    inherited: Option<u64>,
    shown: Option<Instant>,
}

/// The state of training after a step. An accuracy of NaN ("not measured", as with mixed labels) is not shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepInfo {
    /// The training loss, of this step or averaged by the caller.
    pub loss: f64,
    /// The training accuracy in 0 to 1.
    pub accuracy: f64,
    /// The learning rate.
    pub lr: f64,
    /// Training images per second.
    pub images_per_s: f64,
}

enum Output {
    Bar { bar: ProgressBar, terminal: Term },
    Lines { out: Box<dyn Write + Send>, every: Duration },
}

#[derive(Debug, Clone, Copy, Default)]
struct Position {
    epoch: u64,
    epochs: u64,
    done: u64,
    steps: u64,
}

impl Progress {
    /// A bar if stderr is a terminal, otherwise lines on stdout.
    pub fn new() -> Self {
        let bar = ProgressBar::new(0);
        if bar.is_hidden() {
            return Self::lines(Box::new(io::stdout()), INTERVAL);
        }
        Self::with(Output::Bar { bar, terminal: Term::stderr() })
    }

    /// Lines to `out`, one at most every `every`.
    pub fn lines(out: Box<dyn Write + Send>, every: Duration) -> Self {
        Self::with(Output::Lines { out, every })
    }

    fn with(output: Output) -> Self {
        Self { output, at: Position::default(), began: None, inherited: None, shown: None }
    }

    /// Starts epoch `epoch` of `epochs`, counted from 0 and shown from 1, with `steps` steps.
    pub fn start_epoch(&mut self, epoch: u64, epochs: u64, steps: u64) {
        self.at = Position { epoch, epochs, done: 0, steps };
        let now = Instant::now();
        self.began.get_or_insert(now);
        match &self.output {
            Output::Bar { bar, terminal } => {
                bar.set_length(steps);
                draw(bar, self.at, &layout(width(terminal), &self.at.epoch_of_epochs(), &[]));
                bar.reset();
                self.shown = None;
            }
            // The first line comes one interval after the epoch's start.
            Output::Lines { .. } => self.shown = Some(now),
        }
    }

    /// Shows the state after step `done` of the epoch, counting the steps of an interrupted run. It may be called after every
    /// step: it draws no more often than a user can read.
    pub fn step(&mut self, done: u64, info: &StepInfo) {
        self.at.done = done;
        let inherited = *self.inherited.get_or_insert(self.at.run_done().saturating_sub(1));
        let pause = match &self.output {
            Output::Bar { .. } if done >= self.at.steps => Duration::ZERO,
            Output::Bar { .. } => REDRAW,
            Output::Lines { every, .. } => *every,
        };
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let elapsed = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        let fields = fields(self.at, info, self.at.time_left(inherited, elapsed));
        let epoch = self.at.epoch_of_epochs();
        match &mut self.output {
            Output::Bar { bar, terminal } => draw(bar, self.at, &layout(width(terminal), &epoch, &fields)),
            Output::Lines { out, .. } => print(out, &format!("{epoch}  {}", join(&fields, "  "))),
        }
    }

    /// Ends the epoch: removes the bar and prints `line` permanently.
    pub fn finish_epoch(&mut self, line: &str) {
        if let Output::Bar { bar, .. } = &self.output {
            bar.finish_and_clear();
        }
        self.println(line);
    }

    /// Takes the bar away, if there is one, while `print` writes to the terminal.
    pub fn suspend(&mut self, print: impl FnOnce()) {
        match &mut self.output {
            Output::Bar { bar, .. } => bar.suspend(print),
            Output::Lines { .. } => print(),
        }
    }

    /// Prints a line that stays, above the bar if there is one.
    pub fn println(&mut self, line: &str) {
        match &mut self.output {
            Output::Bar { bar, .. } => bar.suspend(|| print(&mut io::stdout(), line)),
            Output::Lines { out, .. } => print(out, line),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    /// Takes the bar away, so that an error message begins on a line of its own.
    fn drop(&mut self) {
        if let Output::Bar { bar, .. } = &self.output {
            bar.finish_and_clear();
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Position {
    /// Steps of the run done.
    fn run_done(&self) -> u64 {
        self.epoch.saturating_mul(self.steps).saturating_add(self.done)
    }

    /// The time that the steps of the run still to come take, if they take as long as this process's steps did,
    /// validation included.
    fn time_left(&self, inherited: u64, elapsed: Duration) -> Duration {
        let own = self.run_done().saturating_sub(inherited).max(1);
        let left = self.epochs.saturating_mul(self.steps).saturating_sub(self.run_done());
        Duration::try_from_secs_f64(elapsed.as_secs_f64() * left as f64 / own as f64).unwrap_or(Duration::MAX)
    }

    fn epoch_of_epochs(&self) -> String {
        format!("epoch {}/{}", self.epoch.saturating_add(1), self.epochs)
    }
}

/// One number of the display; on a narrow terminal those of low `rank` stay.
struct Field {
    rank: u8,
    text: String,
}

fn fields(at: Position, info: &StepInfo, left: Duration) -> Vec<Field> {
    let field = |rank, text| Field { rank, text };
    let mut fields = vec![field(0, format!("{}/{}", at.done, at.steps)), field(1, format!("loss {:.4}", info.loss))];
    if !info.accuracy.is_nan() {
        fields.push(field(2, format!("acc {:.1}%", 100.0 * info.accuracy)));
    }
    // Four decimals show a schedule's course down to 0.001; below, the exponent says more.
    let lr = if info.lr >= 1e-3 || info.lr == 0.0 { format!("{:.4}", info.lr) } else { format!("{:.1e}", info.lr) };
    fields.push(field(5, format!("lr {lr}")));
    fields.push(field(4, format!("{:.0} img/s", info.images_per_s)));
    fields.push(field(3, format!("{} left", clock(left))));
    fields
}

/// The part that fits on a terminal's line.
#[derive(Debug, PartialEq)]
enum Layout {
    /// Text before and behind the bar, which fills the rest.
    Bar { before: String, behind: String },
    /// No room for a bar; the epoch alone is cut where even that is too long.
    Text(String),
}

fn layout(width: usize, epoch: &str, fields: &[Field]) -> Layout {
    // The last column stays free: some terminals wrap a line that fills it.
    let width = width.saturating_sub(1);
    let brackets = " [] ".len();
    for most in (1..=5).rev() {
        let behind = join(fields.iter().filter(|field| field.rank <= most), " ");
        if epoch.len() + brackets + SHORTEST_BAR + behind.len() <= width {
            return Layout::Bar { before: epoch.to_owned(), behind };
        }
    }
    let text = |most| format!("{epoch} {}", join(fields.iter().filter(|field| field.rank <= most), " "));
    let fitting = [1, 0].map(text).into_iter().find(|text| text.len() <= width);
    Layout::Text(fitting.unwrap_or_else(|| epoch.chars().take(width).collect()))
}

fn join<'a>(fields: impl IntoIterator<Item = &'a Field>, separator: &str) -> String {
    fields.into_iter().map(|field| field.text.as_str()).collect::<Vec<_>>().join(separator)
}

fn draw(bar: &ProgressBar, at: Position, layout: &Layout) {
    // All text goes into the template, so that one call draws it all: indicatif limits how often a setter draws.
    let template = match layout {
        Layout::Bar { before, behind } => format!("{before} [{{wide_bar}}] {behind} "),
        Layout::Text(text) => text.clone(),
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_position(at.done);
}

fn width(terminal: &Term) -> usize {
    match terminal.size().1 {
        0 => 80, // a terminal that does not know its size
        columns => columns.into(),
    }
}

/// `m:ss` or `h:mm:ss`.
fn clock(time: Duration) -> String {
    let s = time.as_secs();
    let (hours, minutes, seconds) = (s / 3600, s / 60 % 60, s % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A closed pipe (`… | head`) or a full disk must not end the training.
fn print(out: &mut (impl Write + ?Sized), line: &str) {
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(width: usize, at: Position) -> Layout {
        let info = StepInfo { loss: 0.4321, accuracy: 0.8725, lr: 0.0123, images_per_s: 512.0 };
        layout(width, &at.epoch_of_epochs(), &fields(at, &info, Duration::from_secs(83)))
    }

    #[test]
    fn no_width_is_exceeded() {
        for at in [
            Position { epoch: 2, epochs: 8, done: 45, steps: 312 },
            Position { epoch: 1233, epochs: 12345, done: 1_000_000, steps: 5_000_000 },
        ] {
            for width in 0..200 {
                let used = match parts(width, at) {
                    Layout::Bar { before, behind } => before.len() + behind.len() + SHORTEST_BAR + " [] ".len(),
                    Layout::Text(text) => text.len(),
                };
                assert!(used <= width.saturating_sub(1), "{used} columns of {width}");
            }
        }
    }

    #[test]
    fn a_narrow_terminal_loses_whole_numbers_the_least_important_first() {
        let at = Position { epoch: 2, epochs: 8, done: 45, steps: 312 };
        let bar = |behind: &str| Layout::Bar { before: "epoch 3/8".to_owned(), behind: behind.to_owned() };
        assert_eq!(parts(120, at), bar("45/312 loss 0.4321 acc 87.2% lr 0.0123 512 img/s 1:23 left"));
        assert_eq!(parts(80, at), bar("45/312 loss 0.4321 acc 87.2% 512 img/s 1:23 left"));
        assert_eq!(parts(60, at), bar("45/312 loss 0.4321 acc 87.2%"));
        assert_eq!(parts(40, at), Layout::Text("epoch 3/8 45/312 loss 0.4321".to_owned()));
        assert_eq!(parts(24, at), Layout::Text("epoch 3/8 45/312".to_owned()));
        assert_eq!(parts(12, at), Layout::Text("epoch 3/8".to_owned()));
        assert_eq!(parts(0, at), Layout::Text(String::new()));
    }

    #[test]
    fn time_left_counts_the_steps_of_this_process_only() {
        // 4 epochs of 100 steps; resumed at step 150, now at 200: 50 own steps took 10 s, 200 are to come.
        let at = Position { epoch: 1, epochs: 4, done: 100, steps: 100 };
        assert_eq!(at.time_left(150, Duration::from_secs(10)), Duration::from_secs(40));
        assert_eq!(clock(Duration::from_secs(40)), "0:40");
        assert_eq!(clock(Duration::from_secs(3 * 3600 + 62)), "3:01:02");
    }
}
