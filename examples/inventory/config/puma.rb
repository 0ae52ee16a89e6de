# frozen_string_literal: true

bind "tcp://0.0.0.0:#{ENV.fetch("PORT", "9292")}"
environment ENV.fetch("RACK_ENV", "production")
threads 1, Integer(ENV.fetch("MAX_THREADS", "5"))
