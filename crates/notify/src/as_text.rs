/// Gives an enum the text of each of its variants, and finds them again by it.
macro_rules! stored_as_text {
    ($type:ty { $($variant:ident = $text:literal),* $(,)? }) => {
        impl $type {
            /// All of them.
            #[cfg(test)]
            pub(crate) const EVERY: &[Self] = &[$(Self::$variant),*];

            /// How it is written in tables and answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The one that is written so.
            #[must_use]
            pub fn of(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

pub(crate) use stored_as_text;
