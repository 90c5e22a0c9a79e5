//! What a bench saw: printed as it comes, and kept as `target/bench/NAME.json`.

use std::{env, fmt, fs, path::PathBuf, time::Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::Result;

/// What a figure is held to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// One figure and its goal.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    name: String,
    figure: f64,
    unit: &'static str,
    goal: String,
    pub(crate) is_met: bool,
}

/// The report of one bench.
pub(crate) struct Report {
    name: &'static str,
    /// Of the machine, before: when others are busy, whoever has more threads gets more of it.
    load: f64,
    started: Instant,
    sections: Vec<Value>,
    verdicts: Vec<Verdict>,
}

impl Report {
    pub(crate) fn new(name: &'static str) -> Self {
        let load = load_average();
        println!("\n{name} ({} cores, load average {load:.1})", cores());
        Self { name, load, started: Instant::now(), sections: Vec::new(), verdicts: Vec::new() }
    }

    /// A remark for the reader.
    pub(crate) fn note(&self, text: &str) {
        println!("  {text}");
    }

    /// A table: one row per line, the first cell its name.
    pub(crate) fn table(&self, heads: &[&str], rows: &[Vec<String>]) {
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let texts: Vec<String> = cells
                .enumerate()
                .map(|(column, cell)| if column == 0 { format!("{cell:<28}") } else { format!("{cell:>12}") })
                .collect();
            println!("  {}", texts.join(" ").trim_end());
        };
        line(&mut heads.iter().copied());
        for row in rows {
            line(&mut row.iter().map(String::as_str));
        }
    }

    /// Everything measured, for machines.
    pub(crate) fn keep(&mut self, value: Value) {
        self.sections.push(value);
    }

    /// Holds a figure to its goal. `what` names it beside the bench, for example the engine.
    pub(crate) fn verdict(&mut self, what: &str, figure: f64, unit: &'static str, goal: Goal) {
        let (is_met, goal) = match goal {
            Goal::AtLeast(least) => (figure >= least, format!("at least {least} {unit}")),
            Goal::AtMost(most) => (figure <= most, format!("at most {most} {unit}")),
        };
        let name = if what.is_empty() { self.name.to_owned() } else { format!("{} {what}", self.name) };
        let verdict = Verdict { name, figure, unit, goal: goal.trim_end().to_owned(), is_met };
        println!("  {verdict}");
        self.verdicts.push(verdict);
    }

    /// Writes the file and hands back the verdicts.
    pub(crate) fn finish(self) -> Result<Vec<Verdict>> {
        let seconds = self.started.elapsed().as_secs();
        println!("  took {seconds} s");
        let folder = target()?.join("bench");
        fs::create_dir_all(&folder)?;
        let all = json!({
            "name": self.name,
            "cores": cores(),
            "load_average": self.load,
            "seconds": seconds,
            "verdicts": self.verdicts,
            "measured": self.sections,
        });
        fs::write(folder.join(format!("{}.json", self.name)), format!("{all:#}\n"))?;
        Ok(self.verdicts)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_met { "PASS" } else { "MISS" };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        write!(f, "{word} {}: {:.2}{unit} (goal {})", self.name, self.figure, self.goal)
    }
}

/// How many programs wanted to run, over the last minute (proc_loadavg(5)).
fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

/// How many cores this program may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The folder of builds: this program lies in `target/release/deps`.
fn target() -> Result<PathBuf> {
    let own = env::current_exe()?;
    Ok(own.ancestors().nth(3).ok_or("this program lies in no folder of builds")?.to_owned())
}
