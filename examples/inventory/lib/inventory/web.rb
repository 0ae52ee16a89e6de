# frozen_string_literal: true

require "bcrypt"
require "json"
require "sinatra/base"

require_relative "store"

module Inventory
  SKU = /\A[a-z0-9][a-z0-9-]{0,63}\z/

  # What is in stock, by HTTP. Reading is free; who moves stock says a key.
  class Web < Sinatra::Base
    set :host_authorization, { permitted_hosts: [] }
    set :store, Store.new(ENV.fetch("REDIS_URL", "redis://127.0.0.1:6379/0"))
    # A hash of the key, never the key itself; without one nobody moves anything.
    set :key, ENV["INVENTORY_KEY"]&.then { |hash| BCrypt::Password.new(hash) }

    disable :static
    before { content_type :json }

    get("/healthz") { store.ready? ? answer(status: "ok") : problem(503, "Redis does not answer") }
    get("/stock") { answer(stock: store.all) }

    get "/stock/:sku" do |sku|
      count = store.count(sku)
      halt problem(404, "#{sku} was never in stock") unless count
      answer(sku:, count:, movements: store.movements(sku))
    end

    post "/stock/:sku" do |sku|
      halt problem(401, "the header X-Key is missing or wrong") unless trusted?
      halt problem(422, "#{sku.inspect} is no SKU") unless SKU.match?(sku)
      answer(sku:, count: store.move(sku, movement))
    rescue Store::Short
      halt problem(409, "there is not that much of #{sku}")
    end

    not_found { problem(404, "nothing is here") unless response.body.any? }

    private

    def store = settings.store
    def answer(body) = JSON.generate(body)

    def problem(code, detail)
      [code, { "content-type" => "application/problem+json" }, JSON.generate(status: code, detail:)]
    end

    def trusted?
      key = request.env["HTTP_X_KEY"]
      !settings.key.nil? && !key.nil? && settings.key.is_password?(key)
    end

    def movement
      by = JSON.parse(request.body.read).fetch("by")
      raise TypeError unless by.is_a?(Integer) && !by.zero?

      by
    rescue JSON::ParserError, KeyError, NoMethodError, TypeError
      halt problem(422, "the body is to be {\"by\": N}, N a whole number other than 0")
    end
  end
end
