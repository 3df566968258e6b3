package main

// exitStatus is an answer that is not an error of the command: the process ends with this status. What was asked
// has been printed; text, unless it is empty, says why the answer is not the one that one would wish for.
type exitStatus struct {
	status int
	text   string
}

func (e exitStatus) Error() string { return e.text }
