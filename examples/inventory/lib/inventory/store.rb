# frozen_string_literal: true

require "redis"

module Inventory
  # Stock in Redis: a hash of counts by SKU, and a list of movements for each.
  class Store
    # More was asked for than is there.
    class Short < StandardError; end

    # Takes only what is there, whoever else takes at the same moment.
    MOVE = <<~LUA
      local left = tonumber(redis.call("HGET", KEYS[1], ARGV[1]) or "0") + tonumber(ARGV[2])
      if left < 0 then return -1 end
      redis.call("HSET", KEYS[1], ARGV[1], left)
      redis.call("RPUSH", KEYS[2], ARGV[2])
      return left
    LUA

    def initialize(url)
      @redis = Redis.new(url:, timeout: 2)
    end

    def ready?
      @redis.ping == "PONG"
    rescue Redis::BaseError
      false
    end

    def count(sku)
      @redis.hget("stock", sku)&.to_i
    end

    def all
      @redis.hgetall("stock").transform_values(&:to_i).sort.to_h
    end

    def movements(sku)
      @redis.lrange("movements:#{sku}", 0, -1).map(&:to_i)
    end

    # The new count. Raises Short when it would be below nothing.
    def move(sku, by)
      left = @redis.eval(MOVE, keys: ["stock", "movements:#{sku}"], argv: [sku, by])
      raise Short if left.negative?

      left
    end
  end
end
