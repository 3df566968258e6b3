// Package doctor says what is wrong with a node for Fairlead, from what was read of it: a verdict, the evidence,
// and what to do.
//
// [Host] is what was read. Whoever fills it talks to the kernel and to the API server, and changes nothing; the
// checks only look at it, so that each can be tested with a made-up node. What could not be read is a finding, too:
// unknown, with the reason.
package doctor
