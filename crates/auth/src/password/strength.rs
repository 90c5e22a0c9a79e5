use zxcvbn::zxcvbn;

use super::ContextWords;

/// The best score there is.
pub(super) const SCORE_MAX: u8 = 4;

/// Characters that are looked at. What is left out could only raise the score, and the time grows with the square of the length or worse.
const CHARS_MAX: usize = 64;

/// How well `text` withstands guessing, by the estimate of zxcvbn (Wheeler 2016): 0 to 4. Words of the account count as guessed first.
pub(super) fn score(text: &str, about: &ContextWords) -> u8 {
    let end = text.char_indices().nth(CHARS_MAX).map_or(text.len(), |(at, _)| at);
    let words: Vec<&str> = about.words().collect();
    zxcvbn(text.get(..end).unwrap_or(text), &words).score().into()
}
