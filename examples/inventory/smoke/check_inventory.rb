# frozen_string_literal: true

require "bundler/setup"
require "json"
require "minitest/autorun"
require "net/http"

# The service as its clients see it.
class CheckInventory < Minitest::Test
  BASE = URI(ENV.fetch("CDAF_SMOKE_URL", "http://127.0.0.1:9292"))
  KEY = "smoke"

  def sku = "cup-#{ENV.fetch("CDAF_SMOKE_ID", Process.pid.to_s).downcase.gsub(/[^a-z0-9]/, "")[0, 20]}"

  def ask(method, path, body = nil, headers = {})
    request = Net::HTTP.const_get(method.capitalize).new(path, { "Content-Type" => "application/json" }.merge(headers))
    request.body = JSON.generate(body) if body
    Net::HTTP.start(BASE.host, BASE.port) { |http| http.request(request) }
  end

  def move(by, key: KEY, name: sku)
    ask("post", "/stock/#{name}", { by: }, key ? { "X-Key" => key } : {})
  end

  def counted(answer)
    assert_equal "200", answer.code, answer.body
    JSON.parse(answer.body)["count"]
  end

  def test_stock_comes_and_goes_and_never_falls_below_nothing
    name = "#{sku}-#{rand(1 << 40)}"
    assert_equal 12, counted(move(12, name:))
    assert_equal 7, counted(move(-5, name:))
    assert_equal "409", move(-8, name:).code
    assert_equal({ "sku" => name, "count" => 7, "movements" => [12, -5] }, JSON.parse(ask("get", "/stock/#{name}").body))
  end

  def test_nobody_moves_stock_without_the_key
    assert_equal "401", move(1, key: nil).code
    assert_equal "401", move(1, key: "guess").code
  end

  def test_faulty_requests_are_refused_with_their_fault
    assert_equal "422", move("many").code
    assert_equal "422", move(1, name: "UPPER").code
    answer = ask("get", "/stock/unheard-of")
    assert_equal ["404", "application/problem+json"], [answer.code, answer["Content-Type"]]
  end

  def test_the_service_is_healthy
    assert_equal({ "status" => "ok" }, JSON.parse(ask("get", "/healthz").body))
  end
end
