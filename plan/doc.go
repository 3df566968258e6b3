// Package plan records what would be written to the kernel, in the syntax of the programs that an operator would
// write it with.
//
// A plan is a rehearsal: Read copies what the kernel has into Fakes, whoever is to write writes to these, and a
// Recorder between them takes down each write. So what is planned is what would be done, by the same code.
//
// It tells besides which share of new connections would meet another real server than before, where a scheduler
// chooses by a hash (mh, sh).
package plan
