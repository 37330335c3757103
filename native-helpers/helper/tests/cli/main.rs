//! The command line as other programs see it: the real helper, real processes, real images. What it says
//! on standard output and how it exits is a contract.

mod arguments;
mod call;
mod capsules;
mod capture;
mod changed_files;
mod home;
mod images;
mod increments;
mod lazy;
mod program;
mod restore;
mod swap;
