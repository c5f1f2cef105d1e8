//! Links and anchors of all pages.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{ROOT, files, read};

/// The pages of the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages = files(&["docs", "examples", "fuzz"], "md");
    pages.extend(
        ["README.md", "CHANGELOG.md", "benches/README.md"].map(|name| Path::new(ROOT).join(name)),
    );
    pages
}

/// The lines of a page that are text: not code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced && !line.starts_with("    ")
    })
}

/// The targets of `[text](target)` and of images in a line, code spans left out.
fn targets(line: &str) -> Vec<String> {
    let text: String = line.split('`').step_by(2).collect();
    let links = text.split("](").skip(1).filter_map(|part| part.split_once(')'));
    links.map(|(target, _)| target.to_owned()).collect()
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> HashSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn all_links_and_anchors_lead_somewhere() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in pages() {
        let text = read(&page);
        for target in prose(&text).flat_map(targets) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let directory = page.parent().expect("a page is in a directory");
            let file = if path.is_empty() { page.clone() } else { directory.join(path) };
            let leads =
                file.exists() && (anchor.is_empty() || anchors(&read(&file)).contains(anchor));
            if !leads {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(seen > 50, "there are links");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_site_has_all_pages_once() {
    let summary = read(&Path::new(ROOT).join("docs/SUMMARY.md"));
    let mut listed: Vec<String> = prose(&summary).flat_map(targets).collect();
    listed.sort_unstable();
    let docs = Path::new(ROOT).join("docs");
    let pages = files(&["docs"], "md");
    let mut there: Vec<&str> = pages
        .iter()
        .map(|page| page.strip_prefix(&docs).expect("it is below").to_str().expect("ASCII"))
        .filter(|name| *name != "SUMMARY.md")
        .collect();
    there.sort_unstable();
    assert_eq!(listed, there, "docs/SUMMARY.md (left) and the pages of docs/ (right)");
}

#[test]
fn what_a_link_and_an_anchor_are() {
    assert_eq!(targets("a [b](c.md#d) `[e](f)` [`g`](h) ![i](j.svg)"), ["c.md#d", "h", "j.svg"]);
    let text = "# One `two`, 3.4!\n```\n# no\n```\n## WINCH (USR2)\n";
    let found = anchors(text);
    assert_eq!(found.len(), 2);
    assert!(found.contains("one-two-34") && found.contains("winch-usr2"), "{found:?}");
}
