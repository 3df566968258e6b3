package main

import "github.com/fairlead-lb/fairlead/view"

// openKernelView reads what there is on this node, with the device of the default configuration. It writes nothing.
func openKernelView() (view.Source, error) {
	cfg, _, err := configOrigin{}.load()
	if err != nil {
		return nil, err
	}
	state, err := readState(cfg)
	if err != nil {
		return nil, err
	}
	return newKernelView(state)
}
