//! `cargo xtask faults`: kills, full disks, read-only folders and two processes at once, for every command that writes.
//!
//! Each command runs undisturbed once. Then it is disturbed, the files that it left are read, and it is started again: what it
//! ends with must equal, byte for byte, what the undisturbed run wrote.

mod cases;
mod check;
mod disk;
mod run;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tallow_base::rng;

use cases::{Case, Work};
use check::Report;
use disk::Disk;
use run::{Ended, Process};

#[derive(clap::Args)]
pub struct Args {
    /// Kills at random moments for each command
    #[arg(long, value_name = "N", default_value_t = 10)]
    kills: u32,
    /// The seed of the moments
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only these commands, such as train,export
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
    /// The program to disturb [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The folder for runs and data, which is emptied [default: target/faults]
    #[arg(long, value_name = "DIR", default_value = "target/faults")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    let program = match args.program {
        Some(program) => program,
        None => std::env::current_exe().context("where is this program?")?,
    };
    let program = std::fs::canonicalize(&program).with_context(|| program.display().to_string())?;
    let work = Work::prepare(&args.out, program)?;
    let cases = cases::all();
    if let Some(unknown) = args.only.iter().find(|name| cases.iter().all(|case| case.name != name.as_str())) {
        let names: Vec<&str> = cases.iter().map(|case| case.name).collect();
        bail!("--only {unknown}: expected {}", names.join(", "));
    }
    let mut problems = Vec::new();
    println!("{}", check::HEADER);
    for case in cases.iter().filter(|case| args.only.is_empty() || args.only.iter().any(|name| name == case.name)) {
        let reference = Reference::of(case, &work)?;
        let mut moments = rng::keyed(args.seed, rng::hash(case.name), 0, 0);
        let mut kills = Report::new(case.name, "kill -9");
        for _ in 0..args.kills {
            let after = reference.time.mul_f64(rng::uniform(&mut moments, 0.0, 1.0));
            disturb(case, &work, &reference, &mut kills, |process| process.kill_after(after))?;
        }
        let mut reports = vec![kills, two_at_once(case, &work, &reference)?];
        reports.push(full_disk(case, &work, &reference)?);
        reports.push(read_only(case, &work, &reference)?);
        for report in reports {
            println!("{}", report.row());
            problems.extend(report.problems);
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{} problems:\n{}", problems.len(), problems.join("\n"))
}

/// What a command writes when nothing disturbs it.
struct Reference {
    folder: PathBuf,
    time: Duration,
}

impl Reference {
    fn of(case: &Case, work: &Work) -> Result<Self> {
        let folder = work.fresh(case, "reference")?;
        let started = Instant::now();
        let ended = work.program.start(&(case.arguments)(work, &folder), &[])?.wait()?;
        if !ended.success() {
            bail!("{}: undisturbed, it ended with {ended}", case.name);
        }
        Ok(Self { folder, time: started.elapsed() })
    }
}

/// Runs a command, disturbs it, reads what it left, starts it again, and compares.
fn disturb(
    case: &Case,
    work: &Work,
    reference: &Reference,
    report: &mut Report,
    end: impl FnOnce(Process) -> Result<Ended>,
) -> Result<()> {
    let folder = work.fresh(case, "disturbed")?;
    let ended = end(work.program.start(&(case.arguments)(work, &folder), &[])?)?;
    report.disturbed(&ended);
    check::left_behind(report, &folder)?;
    again(case, work, reference, report, &folder)
}

/// Starts a disturbed command again until it ends well, and compares what it wrote.
fn again(case: &Case, work: &Work, reference: &Reference, report: &mut Report, folder: &Path) -> Result<()> {
    if let Some(arguments) = (case.again)(work, folder) {
        let ended = work.program.start(&arguments, &[])?.wait()?;
        if !ended.success() {
            report.problem(format!("started again: {ended}"));
            return Ok(());
        }
        report.restarted += 1;
    }
    check::same(report, &reference.folder, folder)
}

/// Two processes write to one place. One may be refused, with a reason.
fn two_at_once(case: &Case, work: &Work, reference: &Reference) -> Result<Report> {
    let mut report = Report::new(case.name, "two at once");
    let folder = work.fresh(case, "two")?;
    let arguments = (case.arguments)(work, &folder);
    let (first, second) = (work.program.start(&arguments, &[])?, work.program.start(&arguments, &[])?);
    let ended = [first.wait()?, second.wait()?];
    ended.iter().for_each(|ended| report.disturbed(ended));
    match ended.iter().any(Ended::success) {
        true => check::same(&mut report, &reference.folder, &folder)?,
        false => again(case, work, reference, &mut report, &folder)?,
    }
    Ok(report)
}

/// The disk, or the largest file, is smaller than what the command writes.
fn full_disk(case: &Case, work: &Work, reference: &Reference) -> Result<Report> {
    let (whole, largest) = (check::bytes(&reference.folder)?, check::largest(&reference.folder)?);
    let before = work.template(case).map_or(Ok(0), |template| check::bytes(&template))?;
    let mut report = Report::new(case.name, "disk full");
    for share in [0.1, 0.5, 0.9] {
        let of = |bytes: u64| (bytes as f64 * share) as u64;
        let disk = Disk::of(&work.at("disk"), before + of(whole.saturating_sub(before)), of(largest))?;
        report.kind = disk.kind();
        let folder = disk.folder().join("out");
        work.fill(case, &folder)?;
        let ended = work.program.start(&(case.arguments)(work, &folder), &disk.prefix())?.wait()?;
        report.disturbed(&ended);
        check::left_behind(&mut report, &folder)?;
        disk.enlarge()?;
        again(case, work, reference, &mut report, &folder)?;
    }
    Ok(report)
}

/// The folder may not be written: the command must say so and change nothing.
fn read_only(case: &Case, work: &Work, reference: &Reference) -> Result<Report> {
    let mut report = Report::new(case.name, "read-only");
    let disk = Disk::of(&work.at("disk"), 1 << 28, 1 << 28)?;
    let folder = disk.folder().join("out");
    work.fill(case, &folder)?;
    let before = check::bytes(disk.folder())?;
    if !disk.forbid()? {
        report.kind = "read-only: cannot be made here";
        return Ok(report);
    }
    let ended = work.program.start(&(case.arguments)(work, &folder), &[])?.wait()?;
    disk.permit()?;
    if ended.success() {
        report.problem("it ended well in a read-only folder".to_owned());
    }
    report.disturbed(&ended);
    if check::bytes(disk.folder())? != before {
        report.problem("a read-only folder has changed".to_owned());
    }
    again(case, work, reference, &mut report, &folder)?;
    Ok(report)
}
