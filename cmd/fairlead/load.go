package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// loadConfig returns the configuration from the built-in defaults, the file at
// path (none if empty), the environment and the flags, later ones winning; with
// it come warnings, and in err everything that is wrong, one line each. The
// environment is a list of NAME=VALUE as of os.Environ; flags may be nil.
//
// Every value of every layer is checked, also where a higher layer overrides
// it: it would bite on the day that the override goes away.
func loadConfig(path string, flags *pflag.FlagSet, environ []string) (Config, []string, error) {
	data, err := readConfigFile(path)
	if err != nil {
		return Config{}, nil, err
	}
	return mergeConfig(path, data, flags, environ)
}

// mergeConfig is loadConfig with the file already read; name is what errors
// call it.
func mergeConfig(name string, data []byte, flags *pflag.FlagSet, environ []string) (Config, []string, error) {
	file, drops, fileErr := parseFile(name, data)
	env, warnings, envErr := parseEnviron(environ)
	flag, flagErr := parseFlags(flags)
	layers := []layer{file, env, flag}

	v, err := newViper(layers)
	if err != nil {
		return Config{}, warnings, err
	}
	var config Config
	if err := v.Unmarshal(&config, exactly); err != nil {
		return Config{}, warnings, fmt.Errorf("filling in the configuration: %w", err)
	}
	if err := errors.Join(fileErr, envErr, flagErr, checkRules(config, layers)); err != nil {
		return Config{}, warnings, err
	}
	if warning := dropWarning(name, drops); warning != "" {
		warnings = append(warnings, warning)
	}
	return config, append(warnings, advice(config)...), nil
}

// newViper returns a viper that holds the defaults and the layers, the last
// layer on top.
//
// Viper could read files, the environment and flags by itself. It lower-cases
// keys while it does, drops duplicates, converts what does not fit, and reads
// the environment of the process even in tests; so it is given values that
// have been parsed, and is left with what it does well: precedence.
func newViper(layers []layer) (*viper.Viper, error) {
	v := viper.New()
	for _, k := range keys() {
		value, bad := k.parseText(k.def)
		if bad >= 0 {
			return nil, fmt.Errorf("%s: the built-in default %q is not %s", k.path, k.def, k.kind.want)
		}
		v.SetDefault(k.path, value)
	}
	for _, l := range layers {
		if err := v.MergeConfigMap(l.nested()); err != nil {
			return nil, fmt.Errorf("merging the configuration: %w", err)
		}
	}
	return v, nil
}

// exactly makes decoding fail when the table of keys and the fields of Config
// differ, whichever side has more.
func exactly(c *mapstructure.DecoderConfig) {
	c.ErrorUnused, c.ErrorUnset = true, true
	c.DecodeHook = nil // values have their type already
}

// checkRules runs the rules between keys over all keys that have valid values.
func checkRules(config Config, layers []layer) error {
	var errs []error
	for _, r := range rules() {
		if anyInvalid(r.keys, layers) {
			continue
		}
		if err := r.check(config); err != nil {
			for line := range strings.Lines(err.Error()) {
				errs = append(errs, problem(originOf(r.keys, layers), r.keys[0], "%s", strings.TrimSpace(line)))
			}
		}
	}
	return errors.Join(errs...)
}

// keyError is an error of one key: "config.yaml:3: ipvs.scheduler: ...".
type keyError struct{ origin, path, message string }

func (e *keyError) Error() string {
	message := e.path + ": " + e.message
	if e.origin != "" {
		message = e.origin + ": " + message
	}
	return message
}

// problem is an error of one key. origin is the place of the value, empty for a default.
func problem(origin, path, format string, args ...any) error {
	return &keyError{origin, path, fmt.Sprintf(format, args...)}
}
