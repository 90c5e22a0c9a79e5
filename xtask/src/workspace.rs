//! Where things are, and what `cargo metadata` says about the members.

use crate::{Result, process};
use serde_json::Value;
use std::env;
use std::path::PathBuf;

/// The folder with the root `Cargo.toml`.
pub fn root() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or(here.clone(), PathBuf::from)
}

/// Where tools stay between runs: `$XDG_CACHE_HOME/stylobate`, by default `~/.cache/stylobate`.
pub fn cache() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .ok_or("neither XDG_CACHE_HOME nor HOME is set: where may tools be kept?")?;
    Ok(base.join("stylobate"))
}

/// What `cargo metadata` says, as far as these commands ask.
pub struct Metadata {
    /// Where cargo builds (`CARGO_TARGET_DIR` and configuration included).
    pub target: PathBuf,
    /// Library packages people can depend on, in the order of their names.
    pub libraries: Vec<Library>,
    /// Packages of `examples/` with a program, in the order of their names.
    pub examples: Vec<String>,
}

/// A published library of the workspace.
#[derive(Debug, PartialEq)]
pub struct Library {
    pub name: String,
    /// Its features without `default`, sorted.
    pub features: Vec<String>,
}

/// Asks cargo.
pub fn metadata() -> Result<Metadata> {
    let text = process::output(process::cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    parse(&text)
}

fn parse(metadata: &str) -> Result<Metadata> {
    let metadata: Value = serde_json::from_str(metadata)?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let mut libraries: Vec<Library> = packages.iter().filter_map(library).collect();
    libraries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut examples: Vec<String> = packages.iter().filter_map(example).collect();
    examples.sort();
    Ok(Metadata { target: target.into(), libraries, examples })
}

fn example(package: &Value) -> Option<String> {
    let is_example = package["manifest_path"].as_str()?.contains("/examples/");
    Some(package["name"].as_str()?.to_owned()).filter(|_| is_example && has_target(package, &["bin"]))
}

fn has_target(package: &Value, kinds: &[&str]) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    let mut found = targets.filter_map(|target| target["kind"].as_array()).flatten();
    found.any(|kind| kinds.iter().any(|wanted| kind == wanted))
}

/// The package as a library, unless it is a program or stays in the workspace (`publish = false`).
fn library(package: &Value) -> Option<Library> {
    let published = package["publish"].as_array().is_none_or(|registries| !registries.is_empty());
    if !(published && has_target(package, &["lib", "proc-macro"])) {
        return None;
    }
    let mut features: Vec<String> =
        package["features"].as_object()?.keys().filter(|name| *name != "default").cloned().collect();
    features.sort();
    Some(Library { name: package["name"].as_str()?.to_owned(), features })
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "target_directory": "/w/target",
        "packages": [
            {"name": "house", "publish": null, "targets": [{"kind": ["lib"]}, {"kind": ["test"]}],
             "features": {"default": ["b"], "b": [], "a": ["dep:x"]}},
            {"name": "attic", "publish": null, "targets": [{"kind": ["lib"]}], "features": {}},
            {"name": "kit", "publish": [], "targets": [{"kind": ["lib"]}], "features": {}},
            {"name": "tool", "publish": null, "targets": [{"kind": ["bin"]}], "features": {},
             "manifest_path": "/w/tool/Cargo.toml"},
            {"name": "shop", "publish": null, "targets": [{"kind": ["bin"]}], "features": {},
             "manifest_path": "/w/examples/shop/Cargo.toml"}
        ]
    }"#;

    #[test]
    fn published_libraries_are_listed_by_name_with_their_features() {
        let metadata = parse(METADATA).unwrap();
        assert_eq!(metadata.target, PathBuf::from("/w/target"));
        let expected = [
            Library { name: "attic".into(), features: vec![] },
            Library { name: "house".into(), features: vec!["a".into(), "b".into()] },
        ];
        assert_eq!(metadata.libraries, expected);
        assert_eq!(metadata.examples, ["shop"]);
    }

    #[test]
    fn metadata_that_is_not_an_object_is_refused() {
        assert!(parse("[]").is_err());
        assert!(parse("cargo: error").is_err());
    }
}
