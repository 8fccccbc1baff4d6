//! `index.html`: a self-contained page with a section per kind of issue and embedded images.
//!
//! The page loads nothing: its content security policy allows its own style, its own script and embedded images.
//! On it a reader filters the issues, ticks off those that are none, and saves the ticks as `reviewed.csv`.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::DynamicImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use sha2::{Digest as _, Sha256};
use tallow_base::write_atomically;

use super::{Summary, reviewed};
use crate::{Error, Findings, Issue, IssueKind, Result, Samples};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The maximum side of an image on the page, in pixels.
const SIDE: u32 = 160;
/// The number of other images shown of a group of duplicates.
const GROUP: usize = 5;

/// Writes the page. Each section shows the worst `pictures` samples; `issues.csv` lists all of them.
///
/// # Errors
/// The file cannot be written.
pub fn write_page(path: &Path, name: &str, samples: &Samples, findings: &Findings, pictures: usize) -> Result<()> {
    let summary = Summary::new(samples, &findings.issues);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src {}; \
         script-src {}; base-uri 'none'; form-action 'none'\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>Audit of {name}</title><style>{STYLE}</style></head>\n\
         <body data-audit=\"{name}\" data-header=\"{}\">\n<header><h1>Audit of {name}</h1>{}{}</header>\n<main>\n",
        hash_source(STYLE),
        hash_source(SCRIPT),
        reviewed::COLUMNS.join(","),
        overview(&summary),
        remarks(findings, &summary),
        name = escaped(name),
    );
    if summary.rows().is_empty() {
        page += "<p class=\"none\">No issues found.</p>\n";
    } else {
        page += &toolbar(samples, &summary);
    }
    for (kind, _, total) in summary.rows() {
        page += &section(samples, findings, *kind, *total, pictures);
    }
    let _ = write!(
        page,
        "</main>\n<footer>All issues are listed in <a href=\"issues.csv\">issues.csv</a>.</footer>\n\
         <script>{SCRIPT}</script></body></html>\n"
    );
    write_atomically(path, page).map_err(Error::io(path, "write"))
}

/// The source expression of the content security policy that allows an inline style or script.
fn hash_source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

/// The table of counts, with links to the sections.
fn overview(summary: &Summary) -> String {
    let all: usize = summary.splits().iter().map(|(_, len)| len).sum();
    let splits: Vec<String> = summary.splits().iter().map(|(split, len)| format!("{len} {}", split.name())).collect();
    let mut html = format!(
        "<p>{} samples ({}), {} with an issue.</p>\n<div class=\"wide\"><table><thead><tr><th>issue</th>",
        all,
        splits.join(", "),
        summary.affected()
    );
    summary.splits().iter().for_each(|(split, _)| html += &format!("<th>{}</th>", split.name()));
    html += "<th>all</th></tr></thead><tbody>\n";
    for (kind, counts, total) in summary.rows() {
        html += &format!("<tr><td><a href=\"#{}\">{}</a></td>", kind.name(), kind.title());
        counts.iter().for_each(|count| html += &format!("<td>{count}</td>"));
        html += &format!("<td>{total}</td></tr>\n");
    }
    html + "</tbody></table></div>"
}

/// The notes on kinds that have no section.
fn remarks(findings: &Findings, summary: &Summary) -> String {
    let has_section = |kind: IssueKind| summary.rows().iter().any(|(other, ..)| *other == kind);
    let others = findings.notes.iter().filter(|note| !has_section(note.kind));
    others.map(|note| format!("<p><b>{}</b>: {}</p>\n", note.kind.title(), escaped(&note.text))).collect()
}

/// The filters and buttons, which need the script.
fn toolbar(samples: &Samples, summary: &Summary) -> String {
    let options = |names: &mut dyn Iterator<Item = &str>| -> String {
        names.map(|name| format!("<option>{}</option>", escaped(name))).collect()
    };
    let kinds: String = summary
        .rows()
        .iter()
        .map(|(kind, ..)| format!("<option value=\"{}\">{}</option>", kind.name(), kind.title()))
        .collect();
    format!(
        "<form id=\"filters\" hidden>\
         <label>Text <input name=\"text\" type=\"search\" placeholder=\"file, class, detail\"></label>\
         <label>Issue <select name=\"kind\"><option value=\"\">all</option>{kinds}</select></label>\
         <label>Split <select name=\"split\"><option value=\"\">all</option>{}</select></label>\
         <label>Class <select name=\"class\"><option value=\"\">all</option>{}</select></label>\
         <label class=\"check\"><input name=\"unticked\" type=\"checkbox\"> hide ticked</label>\
         <span class=\"buttons\"><button type=\"button\" id=\"open\">Open all</button>\
         <button type=\"button\" id=\"close\">Close all</button>\
         <button type=\"button\" id=\"save\" disabled>Save reviewed.csv</button></span>\
         <output id=\"count\"></output></form>\n",
        options(&mut summary.splits().iter().map(|(split, _)| split.name())),
        options(&mut samples.class_names().iter().map(String::as_str)),
    )
}

fn section(samples: &Samples, findings: &Findings, kind: IssueKind, total: usize, pictures: usize) -> String {
    let mut html = format!(
        "<details id=\"{}\" open><summary><h2>{} <span>{total}</span></h2></summary>\n<p>{}</p>\n",
        kind.name(),
        kind.title(),
        escaped(kind.about())
    );
    for note in findings.notes.iter().filter(|note| note.kind == kind) {
        let _ = writeln!(html, "<p class=\"remark\">{}</p>", escaped(&note.text));
    }
    // A group of duplicates has one card.
    let mut shown = std::collections::HashSet::new();
    let first_of_group = |issue: &&Issue| match issue.sample {
        Some(sample) if !issue.others.is_empty() => {
            let new = !shown.contains(&sample);
            shown.insert(sample);
            shown.extend(issue.others.iter().copied());
            new
        }
        _ => true,
    };
    let cards: Vec<&Issue> = findings.issues.iter().filter(|issue| issue.kind == kind).filter(first_of_group).collect();
    html += "<div class=\"cards\">\n";
    cards.iter().take(pictures).for_each(|issue| html += &card(samples, issue));
    html += "</div>\n";
    if cards.len() > pictures {
        let _ = writeln!(html, "<p class=\"more\">… and {} more in issues.csv</p>", cards.len() - pictures);
    }
    html + "</details>\n"
}

fn card(samples: &Samples, issue: &Issue) -> String {
    let score = format!("<span class=\"score\" title=\"score\">{:.3}</span>", issue.score);
    let Some(sample) = issue.sample else {
        return format!("<figure class=\"note\">{score} {}</figure>\n", escaped(&issue.detail));
    };
    let label = escaped(samples.class(sample));
    // A tick on a group of duplicates is for all its samples.
    let mut ticked = vec![sample];
    ticked.extend(&issue.others);
    let rows: String = ticked.iter().map(|sample| reviewed::row(samples, issue.kind, *sample)).collect();
    let mut html = format!(
        "<figure data-split=\"{}\" data-class=\"{label}\" data-rows=\"{}\">",
        samples.split(sample).name(),
        escaped(&rows)
    );
    html += "<div class=\"pictures\">";
    html += &picture(samples, sample);
    issue.others.iter().take(GROUP).for_each(|other| html += &picture(samples, *other));
    html += "</div><figcaption>";
    let _ = match issue.suggested {
        Some(class) => write!(html, "<b><s>{label}</s> → {}</b>", escaped(&samples.class_names()[class])),
        None => write!(html, "<b>{label}</b>"),
    };
    let right = if issue.kind == IssueKind::WrongLabel { "label is right" } else { "no issue" };
    let _ = write!(
        html,
        "{score}<br><code>{}</code><br>{}<label class=\"tick\" hidden><input type=\"checkbox\"> {right}</label>",
        escaped(&samples.id(sample)),
        escaped(&issue.detail)
    );
    html + "</figcaption></figure>\n"
}

/// The embedded image, or a placeholder for an unreadable one.
fn picture(samples: &Samples, sample: usize) -> String {
    let title = format!("{} ({}), {}", samples.id(sample), samples.split(sample).name(), samples.class(sample));
    let title = escaped(&title);
    let Some((kind, bytes)) = samples.image(sample).ok().and_then(thumbnail) else {
        return format!("<div class=\"broken\" title=\"{title}\">unreadable</div>");
    };
    let data = STANDARD.encode(bytes);
    format!("<img loading=\"lazy\" src=\"data:image/{kind};base64,{data}\" alt=\"{title}\" title=\"{title}\">")
}

/// A small copy of the image: as PNG if it has few pixels, else as JPEG.
fn thumbnail(image: DynamicImage) -> Option<(&'static str, Vec<u8>)> {
    let small = image.width() <= SIDE && image.height() <= SIDE;
    let image = if small { image } else { image.thumbnail(SIDE, SIDE) };
    let mut bytes = Vec::new();
    // `write_to` would compile the encoders of all formats.
    let (kind, written) = match small && image.width() * image.height() <= 64 * 64 {
        true => ("png", image.write_with_encoder(PngEncoder::new(&mut bytes))),
        false => {
            let image = DynamicImage::from(image.into_rgb8());
            ("jpeg", image.write_with_encoder(JpegEncoder::new(&mut bytes)))
        }
    };
    written.ok()?;
    Some((kind, bytes))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_in_html() {
        assert_eq!(escaped("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }

    #[test]
    fn the_script_stays_inside_its_element_and_the_style_too() {
        assert!(!SCRIPT.contains("</") && !STYLE.contains("</"), "they are written into the page as they are");
        // `printf '' | openssl dgst -sha256 -binary | base64`
        assert_eq!(hash_source(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
    }
}
