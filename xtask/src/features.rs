//! `cargo xtask features`: every library with each of its features alone.

use crate::workspace::{self, Library};
use crate::{Result, install, process};

pub fn run(packages: &[String]) -> Result {
    install::compiler()?;
    let libraries = workspace::metadata()?.libraries;
    for name in packages {
        if !libraries.iter().any(|library| library.name == *name) {
            return Err(format!("no library of the workspace is named {name}").into());
        }
    }
    let wanted = |library: &&Library| packages.is_empty() || packages.contains(&library.name);
    let selections: Vec<Vec<String>> = libraries.iter().filter(wanted).flat_map(selections).collect();
    let failed: Vec<String> =
        selections.iter().filter_map(|selection| check(selection).err()).map(|e| e.to_string()).collect();
    if !failed.is_empty() {
        return Err(
            format!("{} of {} failed:\n  {}", failed.len(), selections.len(), failed.join("\n  ")).into()
        );
    }
    println!("features: {} selections compile", selections.len());
    Ok(())
}

/// Every library without any of its features.
pub fn check_without_any() -> Result {
    let libraries = workspace::metadata()?.libraries;
    libraries.iter().try_for_each(|library| check(&without_any(library)))
}

/// Every example by itself, as somebody builds it who reads its README: beside others it has their features too.
pub fn check_each_example() -> Result {
    let examples = workspace::metadata()?.examples;
    examples.iter().try_for_each(|example| {
        process::run(process::cargo().args(["check", "--quiet", "--bins", "--locked", "--package", example]))
    })
}

fn check(selection: &[String]) -> Result {
    process::run(process::cargo().args(["check", "--quiet", "--lib", "--locked"]).args(selection))
}

/// Arguments of cargo for none, each one and all of its features.
fn selections(library: &Library) -> Vec<Vec<String>> {
    let none = without_any(library);
    let each = library.features.iter().map(|feature| {
        let alone = ["--features".to_owned(), feature.clone()];
        none.iter().cloned().chain(alone).collect()
    });
    let all = vec!["--package".into(), library.name.clone(), "--all-features".into()];
    std::iter::once(none.clone()).chain(each).chain([all]).collect()
}

fn without_any(library: &Library) -> Vec<String> {
    vec!["--package".into(), library.name.clone(), "--no-default-features".into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_checked_with_none_each_and_all_of_its_features() {
        let library = Library { name: "house".into(), features: vec!["a".into(), "b".into()] };
        let shown: Vec<String> = selections(&library).iter().map(|words| words.join(" ")).collect();
        let expected = [
            "--package house --no-default-features",
            "--package house --no-default-features --features a",
            "--package house --no-default-features --features b",
            "--package house --all-features",
        ];
        assert_eq!(shown, expected);
    }
}
