job "bad" {
  group "g" {
