//! `index.html`: a self-contained page with a section per kind of issue and embedded images.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use image::DynamicImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use tallow_base::write_atomically;

use super::Summary;
use crate::{Error, Issue, Kind, Result, Samples};

const STYLE: &str = include_str!("page.css");
/// The maximum side of an image on the page, in pixels.
const SIDE: u32 = 160;
/// The number of other images shown of a group of duplicates.
const GROUP: usize = 5;

/// Writes the page. Each section shows the worst `pictures` samples; `issues.csv` lists all of them.
///
/// # Errors
/// The file cannot be written.
pub fn write_page(path: &Path, name: &str, samples: &Samples, issues: &[Issue], pictures: usize) -> Result<()> {
    let summary = Summary::new(samples, issues);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>Audit of {name}</title><style>{STYLE}</style></head>\n<body>\n\
         <header><h1>Audit of {name}</h1>{}</header>\n<main>\n",
        overview(&summary),
        name = escaped(name),
    );
    for (kind, _, total) in summary.rows() {
        let of_kind: Vec<&Issue> = issues.iter().filter(|issue| issue.kind == *kind).collect();
        page += &section(samples, *kind, &of_kind, *total, pictures);
    }
    if summary.rows().is_empty() {
        page += "<p class=\"none\">No issues found.</p>\n";
    }
    page +=
        "</main>\n<footer>All issues are listed in <a href=\"issues.csv\">issues.csv</a>.</footer>\n</body></html>\n";
    write_atomically(path, page).map_err(Error::io(path, "write"))
}

/// The table of counts, with links to the sections.
fn overview(summary: &Summary) -> String {
    let all: usize = summary.splits().iter().map(|(_, len)| len).sum();
    let splits: Vec<String> = summary.splits().iter().map(|(split, len)| format!("{len} {}", split.name())).collect();
    let mut html = format!(
        "<p>{} samples ({}), {} with an issue.</p>\n<table><thead><tr><th>issue</th>",
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
    html + "</tbody></table>"
}

fn section(samples: &Samples, kind: Kind, issues: &[&Issue], total: usize, pictures: usize) -> String {
    let mut html = format!(
        "<section id=\"{}\"><h2>{} <span>{total}</span></h2>\n<p>{}</p>\n",
        kind.name(),
        kind.title(),
        escaped(kind.about())
    );
    // A group of duplicates has one card.
    let mut shown = std::collections::HashSet::new();
    let first_of_group = |issue: &&&Issue| match issue.sample {
        Some(sample) if !issue.others.is_empty() => {
            let new = !shown.contains(&sample);
            shown.insert(sample);
            shown.extend(issue.others.iter().copied());
            new
        }
        _ => true,
    };
    let cards: Vec<&&Issue> = issues.iter().filter(first_of_group).collect();
    html += "<div class=\"cards\">\n";
    cards.iter().take(pictures).for_each(|issue| html += &card(samples, issue));
    html += "</div>\n";
    if cards.len() > pictures {
        let _ = writeln!(html, "<p class=\"more\">… and {} more in issues.csv</p>", cards.len() - pictures);
    }
    html + "</section>\n"
}

fn card(samples: &Samples, issue: &Issue) -> String {
    let score = format!("<span class=\"score\" title=\"score\">{:.3}</span>", issue.score);
    let Some(sample) = issue.sample else {
        return format!("<figure class=\"note\">{score} {}</figure>\n", escaped(&issue.detail));
    };
    let mut html = String::from("<figure>");
    html += "<div class=\"pictures\">";
    html += &picture(samples, sample);
    issue.others.iter().take(GROUP).for_each(|other| html += &picture(samples, *other));
    html += "</div><figcaption>";
    let label = escaped(samples.class(sample));
    let _ = match issue.suggested {
        Some(class) => write!(html, "<b><s>{label}</s> → {}</b>", escaped(&samples.class_names()[class])),
        None => write!(html, "<b>{label}</b>"),
    };
    let _ = write!(html, "{score}<br><code>{}</code><br>{}", escaped(&samples.id(sample)), escaped(&issue.detail));
    html + "</figcaption></figure>\n"
}

/// The embedded image, or a placeholder for an unreadable one.
fn picture(samples: &Samples, sample: usize) -> String {
    let title = format!("{} ({}), {}", samples.id(sample), samples.split(sample).name(), samples.class(sample));
    let title = escaped(&title);
    let Some((kind, bytes)) = samples.image(sample).ok().and_then(thumbnail) else {
        return format!("<div class=\"broken\" title=\"{title}\">unreadable</div>");
    };
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
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
}
