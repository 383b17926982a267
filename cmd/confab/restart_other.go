//go:build !unix

package main

import "errors"

const canRestart = false

func restart() error { return errors.New("this system cannot start a program again in its process") }

func ended(int) bool { return false }
