package main

import (
	"strconv"
	"time"
)

// rateInterval is what Grafana fills in for scrapes each second: four of them.
const rateInterval = "4s"

// run is the recording in a database.
type run struct {
	*database
	from, to time.Time
}

func openRun() (*run, error) {
	s, from, err := readRecording()
	if err != nil {
		return nil, err
	}
	n, err := s.length()
	if err != nil {
		return nil, err
	}
	s[`up{job="fairlead",instance="node-1"}`] = "1x" + strconv.Itoa(n-1)
	d, err := load(s, from, time.Second)
	if err != nil {
		return nil, err
	}
	return &run{d, from, from.Add(time.Duration(n-1) * time.Second)}, nil
}
