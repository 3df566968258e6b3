// Package program is what the commands test/vm and test/cluster have in common: both run another
// command in surroundings of their own making, say on stderr what they do, keep things in the cache
// folder, and must leave nothing behind however they end.
package program
