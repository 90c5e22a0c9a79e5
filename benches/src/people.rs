//! `GET /people` with 200,000 people: the thousandth page beside the first.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    Result,
    load::{Connection, request},
    report::{Goal, Report},
    rounds::{self, median, percentile, sorted},
    site::{ENGINES, Site, login, text},
};

const PEOPLE: u32 = 200_000;
const PAGE: usize = 1000;
/// Of each page within a round.
const REQUESTS: usize = 50;
/// The usual size of a page, and the one at which page 1,000 is the last.
const LIMITS: [usize; 2] = [50, 200];

pub(crate) async fn run(report: &mut Report) -> Result {
    for engine in ENGINES {
        let name = format!("{engine:?}").to_lowercase();
        let site = Site::new(engine, PEOPLE).await?;
        let server = site.serve().await?;
        let tokens = login(&server, "admin").await?;
        let token = text(&tokens, "access_token")?;
        let mut connection = Connection::open(server.address()).await?;
        for limit in LIMITS {
            let first = request("GET", &format!("/people?limit={limit}"), Some(token), None);
            let far = page_request(&mut connection, limit, token).await?;
            let (mut firsts, mut fars, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..rounds::count(7) {
                let (mut one, mut other) = (Vec::new(), Vec::new());
                for _ in 0..REQUESTS {
                    one.push(time(&mut connection, &first).await?);
                    other.push(time(&mut connection, &far).await?);
                }
                ratios.push(median(other.iter().copied()) / median(one.iter().copied()));
                firsts.extend(one);
                fars.extend(other);
            }
            let row = |name: &str, values: &[f64]| {
                let values = sorted(values.iter().copied());
                let part = |part| format!("{:.2}", percentile(&values, part));
                vec![name.to_owned(), part(0.5), part(0.99)]
            };
            report.table(
                &[&format!("{name}, {limit} a page"), "p50 ms", "p99 ms"],
                &[row("page 1", &firsts), row("page 1,000", &fars)],
            );
            let ratio = median(ratios.iter().copied());
            report.keep(
                json!({ "what": name, "limit": limit, "people": PEOPLE, "ratio": ratio, "ratios": ratios }),
            );
            report.verdict(&format!("{name}, {limit} a page"), ratio, "x", Goal::AtMost(1.5));
        }
    }
    Ok(())
}

/// Walks from the first page to the request for the thousandth.
async fn page_request(connection: &mut Connection, limit: usize, token: &str) -> Result<Vec<u8>> {
    let mut next = request("GET", &format!("/people?limit={limit}"), Some(token), None);
    for page in 1..PAGE {
        let answer = connection.exchange(&next).await?.json(200)?;
        let items = answer.get("items").and_then(Value::as_array).map_or(0, Vec::len);
        if items != limit {
            return Err(format!("page {page} has {items} people instead of {limit}").into());
        }
        let path = format!("/people?limit={limit}&cursor={}", text(&answer, "next_cursor")?);
        next = request("GET", &path, Some(token), None);
    }
    Ok(next)
}

/// How long the answer takes, in milliseconds.
async fn time(connection: &mut Connection, request: &[u8]) -> Result<f64> {
    let asked = Instant::now();
    connection.exchange(request).await?.expect(200)?;
    Ok(asked.elapsed().as_secs_f64() * 1e3)
}
