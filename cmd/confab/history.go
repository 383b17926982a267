package main

import "github.com/spf13/cobra"

func (a *app) historyCommand() *cobra.Command { return group("history", "x") }
